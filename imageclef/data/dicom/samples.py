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

from imageclef.data.dicom.stored import Stored

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


def stored_bits(frame: NDArray[Any], pixels: Stored) -> NDArray[Any]:
    """Values from the bits that hold them; what stands in the others, such as an overlay, is left out."""
    allocated, stored = pixels.bits_allocated, pixels.bits_stored
    high = pixels.high_bit if stored - 1 <= pixels.high_bit < allocated else stored - 1
    left, right = allocated - 1 - high, allocated - stored
    # Up to the highest place and down again: the second shift copies the sign of signed values.
    return np.asarray((frame << left) >> right, frame.dtype)


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
