"""Pictures that tests draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

SIZE = 32
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)

Save = Callable[..., Path]
"""Writes a picture under a name into a folder of the test, with Pillow's options."""


def smooth(width: int, height: int) -> np.ndarray:
    """A picture that JPEG keeps nearly unchanged and that no turn leaves as it is."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * x / width, 255 * y / height, 120 + 0 * x], axis=2).astype(np.uint8)
