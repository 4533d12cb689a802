"""What every feature learner offers, and what it is given to learn from.

A learner is an `nn.Module`: its state is parameters and buffers, so moving, saving and loading it need
no code of its own. Images arrive as uint8 tensors (n, 3, h, w); features leave as float32 (n, n_features).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from imageclef.learners.images import TrainingImages
from imageclef.learners.settings import LearnerSettings
from imageclef.progress import Reporter, Silent


@dataclass(frozen=True)
class Training:
    """How to fit, apart from the learner's own settings.

    Attributes:
        seed: seeds every random choice; the same seed gives the same learner on the CPU.
        device: a torch device.
        precision: of the networks' arithmetic.
        folder: where the history, TensorBoard files and the last checkpoint are written; None writes nothing.
        reporter: receives progress and messages.
    """

    seed: int = 0
    device: torch.device = torch.device("cpu")
    precision: Literal["fp32", "bf16"] = "fp32"
    folder: Path | None = None
    reporter: Reporter = field(default_factory=Silent)


class Learner(nn.Module, ABC):
    """The interface of every learner.

    Attributes:
        settings: of this learner.
    """

    settings: LearnerSettings

    @property
    def mode(self) -> Literal["rgb", "grey"]:
        """How the store keeps images for this learner."""
        return self.settings.mode

    @property
    def uses_labels(self) -> bool:
        """Whether it learns from concepts."""
        return self.settings.uses_labels

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Width of a feature row."""

    @abstractmethod
    def fit(self, images: TrainingImages, training: Training) -> None:
        """Learn from the images of the training part.

        Raises:
            TrainingError: a loss is not finite, or there are too few images.
        """

    @abstractmethod
    def transform(self, images: Tensor) -> Tensor:
        """Compute the features of a batch, uint8 (n, 3, h, w) to float32 (n, n_features).

        A row never depends on the other images of its batch.
        """

    def spatial_features(self, images: Tensor) -> Tensor | None:
        """Split the features by position: float32 (n, h, w, n_features) that sum to `transform`.

        Returns None for a learner whose features have no positions.
        """
        return None

    def feature_pyramid(self, images: Tensor) -> Tensor | None:
        """Pool the last levels to 2x2 and join them, float32 (n, m); None for a learner without levels."""
        return None

    def sheet(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Rows of images that show what was learned, by caption: uint8 (n, 3, h, w)."""
        return {"images": images}
