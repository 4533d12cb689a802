"""Random views of images: the windows and changes that networks are trained on.

Every image of a batch gets draws of its own, by one gather over the whole batch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def random_crop(images: Tensor, size: int) -> Tensor:
    """Cut a random size x size window out of each image (n, c, h, w), at a place of its own."""
    n, _, height, width = images.shape
    if (height, width) == (size, size):
        return images
    tops = torch.randint(height - size + 1, (n,))
    lefts = torch.randint(width - size + 1, (n,))
    # (n, height - size + 1, width - size + 1, c, size, size): every window, as a view of the same memory.
    windows = images.permute(0, 2, 3, 1).unfold(1, size, 1).unfold(2, size, 1)
    each = torch.arange(n, device=images.device)
    chosen = windows[each, tops.to(images.device), lefts.to(images.device)]
    return chosen.contiguous(memory_format=torch.channels_last)
