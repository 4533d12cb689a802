"""How a camera was held (EXIF): which way up a stored picture is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = range(5, 9)


def orientation_of(image: Image.Image) -> int:
    """1 to 8 as in EXIF; a damaged EXIF block says nothing about the pixels, so it counts as upright."""
    try:
        return int(image.getexif().get(Base.Orientation, 1))
    except Exception:
        return 1


def upright(image: Image.Image) -> tuple[Image.Image, bool]:
    """The picture the right way up, the same object where it already is; and whether it lay on its side."""
    orientation = orientation_of(image)
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn), orientation in _SIDEWAYS


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Pixels (h, w) or (h, w, 3) the right way up."""
    turn = _TURNS.get(orientation)
    return pixels if turn is None else np.asarray(Image.fromarray(pixels).transpose(turn))
