"""Grey pixels of a thumbnail, their mean removed: with cosine similarity, the plainest neighbour there is.

Nothing is learned. It is the row that every results table is held against.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from imageclef.learners.base import Learner, LearnerSettings, Training
from imageclef.learners.images import TrainingImages
from imageclef.learners.pixel_range import resize


class PixelsSettings(LearnerSettings):
    """Settings of `Pixels`."""

    image_size: int = Field(default=32, ge=1)


class Pixels(Learner):
    """Grey pixels, mean removed."""

    settings_type = PixelsSettings
    small: ClassVar[Mapping[str, Any]] = {}
    mode = "grey"
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
