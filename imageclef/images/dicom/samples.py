"""What a decoder gives becomes samples: bits are unpacked, values taken from their bits, colours made RGB.

Reference: DICOM PS3.5, section 8.1 (bits stored and high bit); PS3.3, C.7.6.3.1.2 (YBR_FULL).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import RLELossless

from imageclef.images.dicom.stored import Stored

_AT_ONCE = 2**20


def blocks(frame: NDArray[Any]) -> Iterator[slice]:
    """Some rows at a time, about a million values: wider copies of a whole frame would be most of memory."""
    step = max(1, _AT_ONCE * len(frame) // frame.size)
    for start in range(0, len(frame), step):
        yield slice(start, start + step)


def are_words(pixels: Stored) -> bool:
    """Whether a decoder gives words as they are in the file, not values."""
    words = not pixels.syntax.is_encapsulated or pixels.syntax == RLELossless
    return words and not pixels.floating and 1 < pixels.bits_allocated != pixels.bits_stored


def stored_bits(frame: NDArray[Any], pixels: Stored, lossy: bool = False) -> tuple[NDArray[Any], bool]:
    """Values from the bits that hold them; what stands in the others, such as an overlay, is left out.

    Args:
        frame: whole numbers as a decoder gave them, of any width.
        pixels: the bits that hold a value.
        lossy: values a little beyond the range are an error of the compression, and become its ends.

    Returns:
        The values, and whether there was anything in the other bits.
    """
    width, stored = frame.dtype.itemsize * 8, pixels.bits_stored
    if stored >= width:
        return frame, False
    low, high = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if pixels.signed else (0, (1 << stored) - 1)
    slack = (1 << stored) // 8
    if lossy and low - slack <= int(frame.min()) and int(frame.max()) <= high + slack:
        return frame.clip(low, high), False
    top = pixels.high_bit if stored - 1 <= pixels.high_bit < width else stored - 1
    words = frame.view(f"{frame.dtype.byteorder}{'i' if pixels.signed else 'u'}{frame.dtype.itemsize}")
    left, right = width - 1 - top, width - stored
    # Up to the highest place and down again: the second shift copies the sign of signed values.
    values = np.asarray((words << left) >> right, words.dtype)
    return values, not np.array_equal(values, words if top == stored - 1 else words >> (top + 1 - stored))


def unpacked(pixels: Stored, source: bytes, place: int) -> NDArray[np.uint8]:
    """A frame of single bits, which may begin within a byte."""
    size = pixels.rows * pixels.columns
    bits = np.unpackbits(np.frombuffer(source, np.uint8), bitorder="little", count=(place + 1) * size)
    return bits[place * size :].reshape(pixels.rows, pixels.columns)


def rgb(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luminance and chrominance as RGB, some rows at a time: of all, pydicom would make float copies."""
    colours = np.empty_like(frame)
    for rows in blocks(frame):
        colours[rows] = convert_color_space(frame[rows], "YBR_FULL", "RGB")
    return colours
