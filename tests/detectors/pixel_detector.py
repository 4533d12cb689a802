"""A small detector that looks at pixels itself: concept i follows the brightness of quadrant i."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from imageclef.detectors.base import Fitted, Source, State
from imageclef.detectors.task import Rows, Task
from imageclef.settings import Settings


class BrightnessSettings(Settings):
    sharpness: float = 4.0


@dataclass(frozen=True)
class Brightness:
    """Log-odds that rise with the brightness of a quadrant, standardised on the training part.

    Attributes:
        concepts: concept i looks at quadrant i % 4.
        middle: (4,) mean brightness of each quadrant, and `scale` what one deviation is worth.
    """

    reads: ClassVar[Source] = "pixels"
    settings_type: ClassVar[type[Settings]] = BrightnessSettings

    concepts: tuple[str, ...]
    middle: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, task: Task) -> Fitted:
        assert isinstance(task.settings, BrightnessSettings)
        seen = quadrants(task.rows.pixels[task.data.train.rows])
        scale = (task.settings.sharpness / (seen.std(0) + 1e-6)).astype(np.float32)
        detector = cls(task.vocabulary.concepts, seen.mean(0), scale)
        return Fitted(detector, detector.log_odds(task.rows.take(task.data.validation.rows)), {"epochs": 1})

    @classmethod
    def disk_needs(cls, task: Task) -> int:
        return 64

    def refit(self, task: Task) -> Brightness:
        return self

    def log_odds(self, rows: Rows) -> NDArray[np.float32]:
        each = (quadrants(rows.pixels[:]) - self.middle) * self.scale
        return each[:, np.arange(len(self.concepts)) % 4]

    def state(self) -> State:
        return {"middle": self.middle, "scale": self.scale}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]], concepts: tuple[str, ...]) -> Self:
        return cls(concepts, state["middle"], state["scale"])


def quadrants(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean brightness, (n_images, 4)."""
    n, height, width, _ = pixels.shape
    grey = pixels.astype(np.float32).mean(3).reshape(n, 2, height // 2, 2, width // 2)
    result: NDArray[np.float32] = grey.mean(axis=(2, 4)).reshape(n, 4)
    return result
