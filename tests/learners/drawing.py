"""Images for the tests of learners, drawn from a seed."""

from __future__ import annotations

import numpy as np
import torch


def blobs(n: int, size: int, seed: int = 0) -> torch.Tensor:
    """Bright rectangles on noise: enough corners for ORB, enough structure for the others."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 60, (n, size, size, 3), dtype=np.uint8)
    for image in images:
        for _ in range(6):
            top, left = random.integers(0, size // 2, 2)
            height, width = random.integers(size // 8, size // 2, 2)
            image[top : top + height, left : left + width] = random.integers(100, 255, 3)
    return torch.from_numpy(images).permute(0, 3, 1, 2)
