"""Rows of small pictures under their captions, in one PNG: what a learner makes of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_TILE, _GAP, _CAPTION, _MARGIN = 96, 4, 22, 8
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def write_picture_rows(path: Path, rows: Mapping[str, NDArray[np.uint8]]) -> None:
    """Draw every row below the one before.

    Args:
        path: the PNG to write.
        rows: pictures by caption, each uint8 (n, h, w, 3).
    """
    most = max(len(pictures) for pictures in rows.values())
    width = 2 * _MARGIN + most * (_TILE + _GAP) - _GAP
    height = 2 * _MARGIN + len(rows) * (_CAPTION + _TILE + _GAP) - _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    top = _MARGIN
    for caption, pictures in rows.items():
        pen.text((_MARGIN, top + 2), caption, fill=_INK, font=font)
        for column, picture in enumerate(pictures):
            sheet.paste(_tile(picture), (_MARGIN + column * (_TILE + _GAP), top + _CAPTION))
        top += _CAPTION + _TILE + _GAP
    sheet.save(path)


def _tile(picture: NDArray[Any]) -> Image.Image:
    """One picture at the size of a tile; small ones keep their pixels square."""
    nearest = max(picture.shape[:2]) < _TILE // 2
    how = Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS
    return Image.fromarray(picture).resize((_TILE, _TILE), how)
