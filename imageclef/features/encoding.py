"""Pictures that are in no store become feature rows, one at a time, as a search compares them.

With several learners their rows stand beside each other, each brought to the length of its weight, as
`imageclef.features.columns` joins feature sets for an index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from imageclef.features.columns import brought_to
from imageclef.features.extract import features_of
from imageclef.images.decode import Mode
from imageclef.learners.base import Learner

DecodeAt = Callable[[int, Mode], NDArray[np.uint8]]
"""The pixels of one picture at a learner's size and mode, (size, size, channels)."""


@dataclass(frozen=True)
class Row:
    """The features of one picture.

    Attributes:
        side_by_side: as a classifier takes them, (1, n_features).
        compared: as an index does, (1, n_features); the same for a single learner.
    """

    side_by_side: NDArray[np.float32]
    compared: NDArray[np.float32]


@dataclass(frozen=True)
class Encoding:
    """How pictures become features.

    Attributes:
        learners: on their device, in the order of the feature sets.
        weights: of the sets where rows are compared, by default all 1.
        output: of the learners.
        precision: of their arithmetic.
        device: that they are on.
    """

    learners: Sequence[Learner]
    weights: Sequence[float] = ()
    output: Literal["codes", "pooled"] = "codes"
    precision: Literal["fp32", "bf16"] = "fp32"
    device: torch.device = torch.device("cpu")

    def __call__(self, decode_at: DecodeAt) -> Row:
        """The features of one picture, which is decoded at every learner's size."""
        blocks = [self._block(learner, decode_at) for learner in self.learners]
        beside = np.hstack(blocks)
        if len(blocks) == 1:
            return Row(beside, beside)
        lengths = [weight**0.5 for weight in self.weights or (1.0,) * len(blocks)]
        return Row(beside, np.hstack([brought_to(*pair) for pair in zip(lengths, blocks, strict=True)]))

    def _block(self, learner: Learner, decode_at: DecodeAt) -> NDArray[np.float32]:
        pixels = as_image(decode_at(learner.settings.image_size, learner.mode))
        return features_of(learner, pixels[None].to(self.device), self.output, self.precision).cpu().numpy()


def as_image(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Decoded pixels (h, w, channels) as learners take them, (3, h, w)."""
    return torch.from_numpy(pixels).permute(2, 0, 1).expand(3, -1, -1)
