"""Which regions of two images make them similar.

The encoders end in a linear layer over the positions of their last level, so that an image's features are a
sum of what its positions add. Taken about the mean image, the similarity of a and b is a sum over the
positions p of a, and as well over those of b:

    (a - m) . (b - m) = sum_p (a_p - m_p) . (b - m) = sum_p (b_p - m_p) . (a - m)

The terms of the first sum are the heat map of a, those of the second the heat map of b: exact shares of the
inner product, not a guess at them.

Reference: A. Stylianou, R. Souvenir, R. Pless, "Visualizing deep similarity networks", WACV 2019.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imageclef.learners.base import Images, Learner

_SAMPLE = 512
"""Images whose mean is taken, evenly over the collection."""


@torch.inference_mode()
def mean_located(learner: Learner, images: Images) -> Tensor | None:
    """The mean features by position, (h, w, n_features); None for a learner without positions."""
    n = len(images)
    rows = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.int64))
    learner.eval()
    total: Tensor | None = None
    for part in np.array_split(rows, -(-len(rows) // 64)):
        located = learner.located(images.batch(part).to(_device(learner)))
        if located is None:
            return None
        total = located.sum(0) if total is None else total + located.sum(0)
    return None if total is None else total / len(rows)


@torch.inference_mode()
def agreement(
    learner: Learner, one: Tensor, others: Tensor, mean: Tensor
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Heat maps of the similarity of one image to each of several.

    Args:
        learner: with positions.
        one: uint8 (3, h, w).
        others: uint8 (n, 3, h, w).
        mean: of `mean_located`.

    Returns:
        The shares of the positions of the one image, and of each other image, in the inner product of their
        features about the mean: two arrays (n, h, w). Each map of a pair has the same sum.
    """
    learner.eval()
    device = _device(learner)
    located = learner.located(torch.cat([one[None], others]).to(device))
    if located is None:
        raise ValueError(f"{type(learner).__name__} has no positions")
    about = located - mean
    features = about.sum((1, 2))
    first = torch.einsum("hwk,nk->nhw", about[0], features[1:])
    rest = torch.einsum("nhwk,k->nhw", about[1:], features[0])
    return first.cpu().numpy(), rest.cpu().numpy()


def _device(learner: Learner) -> torch.device:
    return next((tensor.device for tensor in learner.parameters()), torch.device("cpu"))
