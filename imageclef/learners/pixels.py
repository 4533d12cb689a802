"""Grey pixels of a thumbnail, their mean removed: with cosine similarity, the plainest neighbour there is.

Nothing is learned. It is the row that every results table is held against.
"""

from __future__ import annotations

from torch import Tensor

from imageclef.learners.base import Learner, Training
from imageclef.learners.images import TrainingImages
from imageclef.learners.pixel_range import resize
from imageclef.learners.settings import PixelsSettings


class Pixels(Learner):
    """Grey pixels, mean removed."""

    settings: PixelsSettings

    def __init__(self, settings: PixelsSettings) -> None:
        super().__init__()
        self.settings = settings

    @property
    def n_features(self) -> int:
        """Number of pixels."""
        return self.settings.image_size**2

    def fit(self, images: TrainingImages, training: Training) -> None:
        """Nothing to learn."""

    def transform(self, images: Tensor) -> Tensor:
        """Pixels less their mean: uint8 (n, 3, h, w) to float32 (n, n_features), in -255..255."""
        grey = resize(images, self.settings.image_size).mean(1).flatten(1)
        return grey - grey.mean(1, keepdim=True)
