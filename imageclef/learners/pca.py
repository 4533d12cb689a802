"""Principal components of the pixels: the plain learner that the others are held against.

Subspace iteration, so that only one block of images is in memory: from a random basis Q (pixels x m),
repeat Q <- orthonormal(sum over blocks of X' (X Q)) with X centred; then the eigenvectors of Q' X'X Q turn Q
into the leading components. The features of an image are its projections on them.

Reference: Halko, Martinsson and Tropp 2011, "Finding structure with randomness", algorithm 4.4.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from imageclef.errors import TrainingError
from imageclef.learners.base import Learner, Training
from imageclef.learners.images import Images, TrainingImages
from imageclef.learners.pixel_range import resize, to_pixels, to_unit_range
from imageclef.learners.settings import PCASettings
from imageclef.progress import Advance

_BLOCK = 512
_OVERSAMPLING = 16


class PCA(Learner):
    """Principal components of RGB pixels."""

    settings: PCASettings
    mean: Tensor
    components: Tensor
    deviations: Tensor

    def __init__(self, settings: PCASettings) -> None:
        super().__init__()
        self.settings = settings
        n_pixels = 3 * settings.image_size**2
        if settings.n_components > n_pixels:
            raise TrainingError(
                f"n_components = {settings.n_components}, more than the {n_pixels} pixel values"
            )
        self.register_buffer("mean", torch.zeros(n_pixels))
        self.register_buffer("components", torch.zeros(n_pixels, settings.n_components))
        self.register_buffer("deviations", torch.zeros(settings.n_components))

    @property
    def n_features(self) -> int:
        """Number of components."""
        return self.settings.n_components

    def fit(self, images: TrainingImages, training: Training) -> None:
        """Find the leading components."""
        n, wanted = len(images), self.settings.n_components
        if n <= wanted:
            raise TrainingError(f"{n} images, expected more than learner.n_components = {wanted}")
        self.to(training.device)
        passes = self.settings.iterations + 3
        with training.reporter.progress("training", passes * n, "images") as advance:
            self.mean.zero_()
            self.mean = self._summed(images, advance, lambda rows: rows.sum(0)) / n
            generator = torch.Generator().manual_seed(training.seed)
            width = min(wanted + _OVERSAMPLING, n, len(self.mean))
            basis = torch.randn(len(self.mean), width, generator=generator).to(training.device)
            for _ in range(self.settings.iterations + 1):
                power = self._summed(images, advance, partial(_through, basis=basis))
                basis = torch.linalg.qr(power).Q
            inner = self._summed(images, advance, partial(_gram, basis=basis)) / n
        variances, rotation = torch.linalg.eigh(inner)
        leading = torch.arange(width - 1, width - 1 - wanted, -1, device=training.device)
        self.components = _positive_peaks(basis @ rotation[:, leading].float())
        self.deviations = variances[leading].clamp(min=0).sqrt().float()

    def transform(self, images: Tensor) -> Tensor:
        """Projections: uint8 (n, 3, h, w) to float32 (n, n_components)."""
        return self._centred(images) @ self.components

    def sheet(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Images, reconstructions, Gaussian samples, leading components, a walk between two images."""
        features = self.transform(images)
        noise = torch.randn(features.shape, generator=generator).to(features.device)
        halfway = torch.linspace(0, 1, len(images), device=features.device)[:, None]
        shown = self.components[:, : len(images)].T
        return {
            "images": self._as_images(self._centred(images)),
            "reconstructions": self._as_images(features @ self.components.T),
            "samples": self._as_images((noise * self.deviations) @ self.components.T),
            "components": self._as_images(shown / shown.abs().amax(1, keepdim=True) - self.mean),
            "interpolation": self._as_images(
                torch.lerp(features[0], features[-1], halfway) @ self.components.T
            ),
        }

    def _centred(self, images: Tensor) -> Tensor:
        return to_unit_range(resize(images, self.settings.image_size)).flatten(1) - self.mean

    def _as_images(self, centred: Tensor) -> Tensor:
        size = self.settings.image_size
        return to_pixels((centred + self.mean).reshape(-1, 3, size, size))

    def _summed(self, images: Images, advance: Advance, part: Callable[[Tensor], Tensor]) -> Tensor:
        """The sum of `part` over blocks of centred pixels, (n, n_pixels)."""
        total = torch.zeros((), device=self.mean.device)
        for start in range(0, len(images), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(images)))
            total = total + part(self._centred(images.batch(rows).to(self.mean.device)))
            advance(len(rows))
        return total


def _through(rows: Tensor, basis: Tensor) -> Tensor:
    """X' (X Q)."""
    return rows.T @ (rows @ basis)


def _gram(rows: Tensor, basis: Tensor) -> Tensor:
    """(X Q)' (X Q), in float64."""
    projected = (rows @ basis).double()
    return projected.T @ projected


def _positive_peaks(components: Tensor) -> Tensor:
    """Turn each column so that its largest entry is positive: a component and its negative are the same."""
    peaks = components.gather(0, components.abs().argmax(0, keepdim=True))
    return components * peaks.sign()
