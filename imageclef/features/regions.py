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

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imageclef.errors import ConfigError
from imageclef.features.encoding import as_image
from imageclef.images.decode import Mode
from imageclef.learners.base import Learner
from imageclef.learners.images import Images

_SAMPLE = 512
"""Images whose mean is taken, evenly over the collection."""


@torch.inference_mode()
def mean_spatial_features(learner: Learner, images: Images) -> Tensor | None:
    """The mean features by position, (h, w, n_features); None for a learner without positions."""
    n = len(images)
    rows = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.int64))
    learner.eval()
    total: Tensor | None = None
    for part in np.array_split(rows, -(-len(rows) // 64)):
        located = learner.spatial_features(images.batch(part).to(_device(learner)))
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
        mean: of `mean_spatial_features`.

    Returns:
        The shares of the positions of the one image, and of each other image, in the inner product of their
        features about the mean: two arrays (n, h, w). Each map of a pair has the same sum.
    """
    learner.eval()
    device = _device(learner)
    located = learner.spatial_features(torch.cat([one[None], others]).to(device))
    if located is None:
        raise ValueError(f"{type(learner).__name__} has no positions")
    about = located - mean
    features = about.sum((1, 2))
    first = torch.einsum("hwk,nk->nhw", about[0], features[1:])
    rest = torch.einsum("nhwk,k->nhw", about[1:], features[0])
    return first.cpu().numpy(), rest.cpu().numpy()


class Regions:
    """Where images agree, by one learner."""

    def __init__(self, learner: Learner, mean: Tensor) -> None:
        """Take the learner and its `mean_spatial_features`."""
        self._learner, self._mean = learner, mean

    @classmethod
    def of(cls, learners: Sequence[Learner], output: str, images: Callable[[Learner], Images]) -> Regions:
        """Regions by what encodes the pictures.

        Args:
            learners: of the feature sets.
            output: of the learners.
            images: of a collection at a learner's size, whose mean is taken.

        Raises:
            ConfigError: these features have no regions; the message says why.
        """
        if len(learners) > 1:
            raise ConfigError(f"features of {len(learners)} learners: regions are those of one; expected one")
        if output != "codes":
            raise ConfigError(f"extract.output = '{output}': regions are those of codes; expected 'codes'")
        learner = learners[0]
        mean = mean_spatial_features(learner, images(learner))
        if mean is None:
            raise ConfigError(
                f"learner {type(learner).__name__}: its features have no place in the picture; "
                "expected aae or faae"
            )
        return cls(learner, mean)

    @property
    def size(self) -> tuple[int, Mode]:
        """How the learner wants pictures decoded."""
        return self._learner.settings.image_size, self._learner.mode

    def between(
        self, one: NDArray[np.uint8], others: Sequence[NDArray[np.uint8]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`agreement` of one decoded picture and several, (size, size, channels): two arrays (n, h, w)."""
        batch = torch.stack([as_image(pixels) for pixels in (one, *others)])
        return agreement(self._learner, batch[0], batch[1:], self._mean)


def _device(learner: Learner) -> torch.device:
    return next((tensor.device for tensor in learner.parameters()), torch.device("cpu"))
