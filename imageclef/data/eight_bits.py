"""Pictures of any depth and colour model become 8-bit grey or RGB."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[int, int, int, int]

_TILE = 1024


def in_eight_bits(image: Image.Image) -> Image.Image:
    """The picture in mode L or RGB; what has these modes already is returned as it is.

    Alpha is composited on black. Grey of more than 8 bits is scaled from its own minimum and maximum to
    0 and 255: a 12-bit CT in a 16-bit file would be near black on the full range. NaN is black; a picture
    of one value is white where the value is positive.

    Args:
        image: loaded, in any mode.

    Raises:
        ValueError: Pillow knows no way from its mode to RGB.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        return _scaled_to_eight_bits(image)
    if image.has_transparency_data:
        picture = image if image.mode == "RGBA" else image.convert("RGBA")
        black = Image.new("RGB", picture.size)
        black.paste(picture, mask=picture)
        return black
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _scaled_to_eight_bits(image: Image.Image) -> Image.Image:
    """Integers or floats of any range: the lowest value becomes 0, the highest 255, NaN 0."""
    low, high = np.inf, -np.inf
    for box in _tiles(image.size):
        values = _values(image, box)
        finite = values[np.isfinite(values)]
        low = min(low, float(finite.min(initial=np.inf)))
        high = max(high, float(finite.max(initial=-np.inf)))
    if low >= high:
        return Image.new("L", image.size, 255 if high > 0 else 0)
    levels = np.empty((image.height, image.width), np.uint8)
    for left, top, right, bottom in _tiles(image.size):
        values = (_values(image, (left, top, right, bottom)) - low) * 255 / (high - low)
        levels[top:bottom, left:right] = np.rint(np.nan_to_num(values.clip(0, 255)))
    return Image.fromarray(levels)


def _values(image: Image.Image, box: Box) -> NDArray[np.float64]:
    """Pixels of a part (h, w), NaN where a PNG declares its value transparent."""
    values = np.asarray(image.crop(box)).astype(np.float64)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values[values == transparent] = np.nan
    return values


def _tiles(size: tuple[int, int]) -> Iterator[Box]:
    """Boxes that cover a picture: float64 of all of it at once would be most of the memory."""
    width, height = size
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            yield left, top, min(left + _TILE, width), min(top + _TILE, height)
