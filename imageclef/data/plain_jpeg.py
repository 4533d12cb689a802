"""JPEGs without any peculiarity: the same pixels as Pillow's from OpenCV, faster."""

from __future__ import annotations

import cv2
import numpy as np
from cv2.typing import MatLike
from PIL import Image

from imageclef.data.upright import orientation_of

_END = b"\xff\xd9"
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


def plain_jpeg(image: Image.Image, data: bytes, target: tuple[int, int], colour: bool) -> MatLike | None:
    """Pixels (h, w) or (h, w, 3) of a JPEG that is whole, upright, and grey or in colour.

    Args:
        image: opened, not loaded.
        data: of the whole file.
        target: width and height that it will have in the end.
        colour: whether colours are wanted.

    Returns:
        None for all others, and where OpenCV sees a fault: what it is, Pillow says.
    """
    if image.format != "JPEG" or image.mode not in ("L", "RGB"):
        return None
    if not data.endswith(_END) or orientation_of(image) != 1:
        return None
    scale = reduction(image.size, target)
    in_colour, in_grey = _FLAGS[scale]
    # Asked for grey, libjpeg leaves the colours undecoded.
    wanted = in_colour if image.mode == "RGB" and colour else in_grey
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), wanted | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    if pixels is None or pixels.shape[:2] != (-(-image.height // scale), -(-image.width // scale)):
        return None
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 else pixels
