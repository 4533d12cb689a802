"""Pictures made of pictures: contact sheets of a query and its neighbours, and plain grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK, _FAINT, _MARK, _MAT = "#ffffff", "#1a1a1a", "#5f6670", "#d9480f", "#eef0f3"
_MARGIN, _GAP, _FRAME = 20, 16, 4
_SIZE, _LEADING, _MOST_LINES = 14, 18, 7


@dataclass(frozen=True)
class Tile:
    """A picture and the lines below it.

    Attributes:
        pixels: uint8, (h, w, 3) or grey (h, w).
        caption: paragraphs; the first is printed darker. Each is wrapped to the width of the tile.
    """

    pixels: NDArray[np.uint8]
    caption: Sequence[str] = ()


def write_contact_sheet(path: Path, query: Tile, neighbors: Sequence[Tile], columns: int = 5) -> None:
    """Write a PNG of a query, marked, beside its neighbours.

    Args:
        path: the PNG to write.
        query: the picture that was searched for.
        neighbors: the nearest first.
        columns: neighbours beside each other.

    """
    contact_sheet(query, neighbors, columns).save(path, format="PNG")


def contact_sheet(query: Tile, neighbors: Sequence[Tile], columns: int = 5) -> Image.Image:
    """Draw a query, framed and on the left, and its neighbours in rows.

    Pictures of different sizes are fitted into squares as large as the longest side among them.

    Args:
        query: the picture that was searched for.
        neighbors: the nearest first.
        columns: neighbours beside each other.
    """
    side = max(max(tile.pixels.shape[:2]) for tile in (query, *neighbors))
    rows = [neighbors[start : start + columns] for start in range(0, len(neighbors), columns)]
    heights = [max(_height(tile, side) for tile in row) for row in rows]
    left = _MARGIN + side + 3 * _GAP
    width = left + min(columns, max(1, len(neighbors))) * (side + _GAP) - _GAP + _MARGIN
    height = max(_height(query, side), sum(heights) + _GAP * (len(rows) - 1)) + 2 * _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    frame = (_MARGIN - _FRAME, _MARGIN - _FRAME, _MARGIN + side + _FRAME - 1, _MARGIN + side + _FRAME - 1)
    draw.rectangle(frame, fill=_MARK)
    _put(sheet, draw, query, (_MARGIN, _MARGIN), side, _MARK)
    rule = _MARGIN + side + 3 * _GAP // 2
    draw.line([(rule, _MARGIN), (rule, height - _MARGIN)], fill=_MAT, width=2)
    y = _MARGIN
    for row, tall in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            _put(sheet, draw, tile, (left + column * (side + _GAP), y), side, _INK)
        y += tall + _GAP
    return sheet


def write_pairs(path: Path, pairs: Sequence[tuple[Tile, Tile]], columns: int = 4) -> None:
    """Write a PNG of pictures two by two.

    Args:
        path: the PNG to write.
        pairs: at least one.
        columns: pairs beside each other.

    """
    side = max(max(tile.pixels.shape[:2]) for pair in pairs for tile in pair)
    rows = [pairs[start : start + columns] for start in range(0, len(pairs), columns)]
    heights = [max(_height(tile, side) for pair in row for tile in pair) for row in rows]
    step = 2 * side + 3 * _GAP
    width = min(columns, len(pairs)) * step - 2 * _GAP + 2 * _MARGIN
    sheet = Image.new("RGB", (width, sum(heights) + _GAP * (len(rows) - 1) + 2 * _MARGIN), _PAPER)
    draw, y = ImageDraw.Draw(sheet), _MARGIN
    for row, tall in zip(rows, heights, strict=True):
        for column, pair in enumerate(row):
            for place, tile in enumerate(pair):
                corner = (_MARGIN + column * step + place * (side + _GAP // 2), y)
                _put(sheet, draw, tile, corner, side, _INK)
        y += tall + _GAP
    sheet.save(path, format="PNG")


def _height(tile: Tile, side: int) -> int:
    lines = sum(len(_wrapped(paragraph, side)) for paragraph in tile.caption)
    return side + 6 + lines * _LEADING


def _put(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, corner: tuple[int, int], side: int, ink: str
) -> None:
    """Draw a tile with its caption at a corner."""
    x, y = corner
    picture = Image.fromarray(tile.pixels).convert("RGB")
    scale = side / max(picture.size)
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    draw.rectangle((x, y, x + side - 1, y + side - 1), fill=_MAT)
    sheet.paste(picture, (x + (side - picture.width) // 2, y + (side - picture.height) // 2))
    y += side + 6
    for place, paragraph in enumerate(tile.caption):
        for text in _wrapped(paragraph, side):
            draw.text((x, y), text, font=_font(), fill=_FAINT if place else ink)
            y += _LEADING


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_SIZE)


def _wrapped(paragraph: str, width: int) -> list[str]:
    """Lines that fit a width in pixels; long words are broken, and what is too much ends in an ellipsis."""
    font, lines = _font(), [""]
    for word in paragraph.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    if len(lines) > _MOST_LINES:
        lines = lines[:_MOST_LINES]
        while lines[-1] and font.getlength(lines[-1] + " ...") > width:
            lines[-1] = lines[-1][:-1]
        lines[-1] += " ..."
    return lines if lines != [""] else []
