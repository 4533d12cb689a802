"""Images of any depth and colour model become 8-bit grey or RGB."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_AT_ONCE = 2**20
TRANSPARENT = "every pixel is transparent: black"


def in_eight_bits(image: Image.Image) -> tuple[Image.Image, str]:
    """The image in mode L or RGB, and what was done to its values, in words.

    What has these modes already is returned as it is. Alpha is composited on black. Grey of more than 8 bits
    is spread as in `spread`; where a PNG declares a value transparent, it is black and not part of the range.

    Args:
        image: loaded, in any mode.

    Raises:
        ValueError: Pillow knows no way from its mode to RGB.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)
        transparent = image.info.get("transparency")
        shown = values != transparent if isinstance(transparent, int) else None
        levels, note = spread(values, shown=shown)
        return Image.fromarray(levels), note
    if image.has_transparency_data:
        picture = image if image.mode == "RGBA" else image.convert("RGBA")
        black = Image.new("RGB", picture.size)
        black.paste(picture, mask=picture)
        return black, "" if picture.getchannel("A").getextrema() != (0, 0) else TRANSPARENT
    if image.mode in ("L", "RGB"):
        return image, ""
    return image.convert("L" if image.mode == "1" else "RGB"), ""


def spread(
    values: NDArray[Any],
    inverted: bool = False,
    shown: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.uint8], str]:
    """Levels of values of any type, and what was done, in words.

    The lowest value becomes 0 and the highest 255: a 12-bit CT in a 16-bit file would be near black on the
    full range. Where colours differ and are whole numbers from 0, as many bits as they need become 255, so
    that their hue stays. NaN is black; an image of one value is white where the value is positive.

    Args:
        values: (h, w) or (h, w, 3).
        inverted: the lowest value becomes 255.
        shown: (h, w), which pixels are part of the image; the others are black. None takes all.
    """
    if values.ndim == 3 and all(np.array_equal(values[..., 0], values[..., other]) for other in (1, 2)):
        values = values[..., 0]
    low, high = _range(values, shown)
    if values.ndim == 3 and values.dtype.kind == "u":
        low, high = 0.0, float((1 << max(int(high), 1).bit_length()) - 1) if math.isfinite(high) else 0.0
    levels = np.empty(values.shape, np.uint8)
    for rows in _blocks(values):
        levels[rows] = _levels(values[rows].astype(np.float64), low, high, inverted)
        if shown is not None:
            levels[rows][~shown[rows]] = 0
    if not math.isfinite(high):
        return levels, TRANSPARENT if shown is not None and not shown.any() else "no finite value: black"
    note = f"{low:g} to {high:g} shown as 0 to 255"
    return levels, f"{note}; inverted, as white is zero" if inverted else note


def composited(
    values: NDArray[Any], inverted: bool = False, premultiplied: bool = False
) -> tuple[NDArray[np.uint8], str]:
    """As `spread`, of values that may have alpha (h, w, 4), which is composited on black."""
    if values.ndim == 2 or values.shape[2] == 3:
        return spread(values, inverted)
    alpha = values[..., 3]
    levels, note = spread(values[..., :3], inverted, shown=alpha > 0)
    if not premultiplied:
        full = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1
        for rows in _blocks(levels):
            opacity = (alpha[rows] / full).clip(0, 1)
            part = levels[rows]
            levels[rows] = np.rint(part * (opacity if part.ndim == 2 else opacity[..., None]))
    return levels, note


def _levels(values: NDArray[np.float64], low: float, high: float, inverted: bool) -> NDArray[np.float64]:
    if low < high:
        shares = ((values - low) / (high - low)).clip(0, 1)
    else:
        shares = np.where(np.isfinite(values), float(high > 0 and math.isfinite(high)), np.nan)
    return np.asarray(np.rint(np.nan_to_num((1 - shares if inverted else shares) * 255)))


def _range(values: NDArray[Any], shown: NDArray[np.bool_] | None) -> tuple[float, float]:
    """The lowest and the highest finite value that is shown; infinity and minus infinity if there is none."""
    low, high = math.inf, -math.inf
    for rows in _blocks(values):
        part = values[rows] if shown is None else values[rows][shown[rows]]
        if part.dtype.kind == "f":
            part = part[np.isfinite(part)]
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    return low, high


def _blocks(values: NDArray[Any]) -> Iterator[slice]:
    """Some rows at a time: float64 of all of them at once would be most of the memory."""
    step = max(1, _AT_ONCE * len(values) // max(1, values.size))
    for start in range(0, len(values), step):
        yield slice(start, start + step)
