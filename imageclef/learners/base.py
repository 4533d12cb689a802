"""What every feature learner shows, and how it is asked to fit.

A learner is an `nn.Module`: its state is parameters and buffers, so moving, saving and loading it need
no code of its own. Images arrive as uint8 tensors (n, 3, h, w); features leave as float32 (n, n_features).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imageclef.progress import Reporter, Silent
from imageclef.settings import Settings


class Images(Protocol):
    """A collection of decoded images that is read by rows."""

    def __len__(self) -> int:
        """Number of images."""

    def batch(self, rows: NDArray[np.int64]) -> Tensor:
        """The images of these rows, uint8 (n, 3, h, w)."""


@dataclass(frozen=True)
class Training:
    """How to fit, as far as it is not the learner's own affair.

    Attributes:
        seed: of every random choice; the same seed gives the same learner on the CPU.
        device: a torch device.
        precision: of the networks' arithmetic.
        folder: where history, TensorBoard files and the last checkpoint are kept; None keeps none.
        reporter: told about the progress.
    """

    seed: int = 0
    device: torch.device = torch.device("cpu")
    precision: Literal["fp32", "bf16"] = "fp32"
    folder: Path | None = None
    reporter: Reporter = field(default_factory=Silent)


class LearnerSettings(Settings):
    """What every learner has.

    Attributes:
        image_size: side of the square images in the store, in pixels.
    """

    image_size: int


class Learner(nn.Module, ABC):
    """The interface of every learner.

    Attributes:
        settings_type: its settings; the defaults are the published sizes, the preset ``paper``.
        small: what the preset ``small`` changes, so that two cores train it in minutes.
        mode: how the store keeps images for it.
    """

    settings_type: ClassVar[type[LearnerSettings]]
    small: ClassVar[Mapping[str, Any]]
    mode: ClassVar[Literal["rgb", "grey"]] = "rgb"

    settings: LearnerSettings

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Width of a feature row."""

    @abstractmethod
    def fit(self, images: Images, training: Training) -> None:
        """Learn from images alone; labels are never seen.

        Raises:
            TrainingError: a loss that is not finite, or too few images.
        """

    @abstractmethod
    def transform(self, images: Tensor) -> Tensor:
        """Features of a batch, uint8 (n, 3, h, w) to float32 (n, n_features), each row for itself."""

    def located(self, images: Tensor) -> Tensor | None:
        """Features by position, float32 (n, h, w, n_features), that sum to `transform`; None if none."""
        return None

    def pooled(self, images: Tensor) -> Tensor | None:
        """The last levels pooled to 2x2 and joined, float32 (n, m); None where there are none."""
        return None

    def pictures(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Rows of pictures that show what was learned, by caption: uint8 (n, 3, h, w)."""
        return {"images": images}


class Subset:
    """Some rows of a collection, in the order given."""

    def __init__(self, images: Images, rows: NDArray[np.int64]) -> None:
        self._images = images
        self._rows = rows

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def batch(self, rows: NDArray[np.int64]) -> Tensor:
        """The images of these rows of the subset, uint8 (n, 3, h, w)."""
        return self._images.batch(self._rows[rows])


class DeviceImages:
    """A whole collection in one tensor on one device, so that no batch crosses the bus."""

    def __init__(self, pixels: Tensor) -> None:
        """Keep uint8 (n, 3, h, w)."""
        self._pixels = pixels

    def __len__(self) -> int:
        """Number of images."""
        return len(self._pixels)

    def batch(self, rows: NDArray[np.int64]) -> Tensor:
        """The images of these rows, uint8 (n, 3, h, w), on the tensor's device."""
        return self._pixels[torch.from_numpy(rows).to(self._pixels.device)]


def reduced_precision(device: torch.device) -> Literal["fp32", "bf16"]:
    """bf16 where the processor has instructions for it, else fp32: emulated bf16 is slower than fp32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"
