"""A heat map over a picture: warm where a number is high, the picture itself where it is low."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_WARM = np.array([255, 96, 0], np.float32)
_MOST = 0.6
"""Of the colour, where the map is highest: the picture stays to be seen."""


def with_heat(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a map over a picture.

    Args:
        pixels: (h, w, 3) or (h, w, 1).
        heat: (rows, columns), any size and scale; what is below 0 is cold.

    Returns:
        (h, w, 3).
    """
    height, width = pixels.shape[:2]
    warm = np.maximum(cv2.resize(heat.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC), 0)
    share = _MOST * (warm / warm.max() if warm.max() > 0 else warm)[..., None]
    grey = pixels.astype(np.float32).mean(axis=2, keepdims=True)
    mixed = grey * (1 - share) + _WARM * share
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)
