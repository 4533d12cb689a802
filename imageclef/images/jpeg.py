"""JPEGs without any peculiarity: the same pixels as Pillow's from OpenCV, faster."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from cv2.typing import MatLike

_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"
_SCAN = 0xDA
_FRAMES = {0xC0, 0xC1, 0xC2}
"""Baseline, extended, progressive; each with Huffman's codes."""

_PASSED = _FRAMES | {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)} - {0xE1}
"""Tables, comments, and what applications write; not their first kind, which may turn the picture round."""

_SEVERAL_PICTURES = b"MPF\0"

_SCALES = (8, 4, 2)
"""By which libjpeg reduces a picture while it decodes it."""

_FLAGS = {
    1: (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE),
    2: (cv2.IMREAD_REDUCED_COLOR_2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
    4: (cv2.IMREAD_REDUCED_COLOR_4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    8: (cv2.IMREAD_REDUCED_COLOR_8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
}


def reduction(size: tuple[int, int], target: tuple[int, int]) -> int:
    """The most that libjpeg may reduce a picture of a size by: it stays twice as large as the target."""
    return next((s for s in _SCALES if size[0] >= 2 * target[0] * s and size[1] >= 2 * target[1] * s), 1)


def plain_jpeg(
    data: bytes, target: Callable[[int, int], tuple[int, int]], colour: bool, most_pixels: float
) -> tuple[MatLike, int, int] | None:
    """Pixels (h, w) or (h, w, 3) of a JPEG that is whole, upright, grey or in colour; its width and height.

    Args:
        data: of the whole file.
        target: the width and height that a picture of a width and height will have in the end.
        colour: whether colours are wanted.
        most_pixels: that a picture may have.

    Returns:
        None for all others, and where OpenCV sees a fault: what it is, Pillow says.
    """
    header = _header(data)
    if header is None or header[0] * header[1] > most_pixels:
        return None
    width, height, channels = header
    scale = reduction((width, height), target(width, height))
    in_colour, in_grey = _FLAGS[scale]
    # Asked for grey, libjpeg leaves the colours undecoded.
    wanted = in_colour if channels == 3 and colour else in_grey
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), wanted | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    if pixels is None or pixels.shape[:2] != (-(-height // scale), -(-width // scale)):
        return None
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 else pixels, width, height


def _header(data: bytes) -> tuple[int, int, int] | None:
    """Width, height and channels (1 or 3); None if anything in the header is out of the ordinary."""
    if not data.startswith(_BEGIN) or not data.endswith(_END):
        return None
    found, at = None, len(_BEGIN)
    while data[at : at + 1] == b"\xff" and at + 10 < len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == _SCAN:
            return found
        if marker not in _PASSED or data.startswith(_SEVERAL_PICTURES, at + 4):
            return None
        if marker in _FRAMES:
            height, width = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
            bits, channels = data[at + 4], data[at + 9]
            if found or bits != 8 or channels not in (1, 3) or not width * height:
                return None
            found = width, height, channels
        at += 2 + length
    return None
