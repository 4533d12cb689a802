"""From stored pixels to a network's input and back."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def to_unit_range(images: Tensor) -> Tensor:
    """Convert uint8 in 0..255 to float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_pixels(images: Tensor) -> Tensor:
    """Convert floats in [-1, 1] to uint8 in 0..255."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).byte()


def resize(images: Tensor, size: int) -> Tensor:
    """Resize images (n, c, h, w) to float32 at size x size, antialiased."""
    if images.shape[-2:] == (size, size):
        return images.float()
    return F.interpolate(images.float(), size=(size, size), mode="bilinear", antialias=True)
