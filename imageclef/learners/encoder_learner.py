"""Networks whose features are the codes of an `Encoder`, and the family that can turn codes into images."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from imageclef.learners.gradient import GradientLearner
from imageclef.learners.networks import Encoder
from imageclef.learners.pixel_range import resize, to_pixels, to_unit_range
from imageclef.learners.settings import EncoderSettings


class EncoderLearner(GradientLearner):
    """A learner whose features are the codes of its `encoder`."""

    settings: EncoderSettings
    encoder: Encoder

    @property
    def n_features(self) -> int:
        """Length of a code."""
        return self.settings.latent_dim

    def transform(self, images: Tensor) -> Tensor:
        """Compute the codes of a batch: uint8 (n, 3, h, w) to float32 (n, latent_dim)."""
        codes: Tensor = self.encoder(self.encoder_input(images))
        return codes.float()

    def spatial_features(self, images: Tensor) -> Tensor:
        """What each position of the last level adds to the codes, float32 (n, h, w, n_features)."""
        return self.encoder.spatial_features(self.encoder_input(images)).float()

    def feature_pyramid(self, images: Tensor) -> Tensor:
        """The encoder's last three levels pooled to 2x2 and joined, float32 (n, m)."""
        return self.encoder.feature_pyramid(self.encoder_input(images)).float()

    def encoder_input(self, images: Tensor) -> Tensor:
        """Whole images as the encoder takes them: uint8 (n, 3, h, w) to (n, 3, crop_size, crop_size)."""
        return to_unit_range(resize(images, self.settings.crop_size))


class EncoderDecoder(EncoderLearner):
    """A learner that can also turn codes into images, and may have a prior to draw codes from."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (n, latent_dim) to images (n, 3, crop_size, crop_size) in [-1, 1]."""

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor | None:
        """Draw codes from the prior, (n, latent_dim), on the CPU; None for a learner without a prior."""
        return None

    def sheet(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Images, their reconstructions, samples of the prior, and walks between the codes of two images."""
        device = images.device
        codes = self.transform(images)
        halfway = torch.linspace(0, 1, len(images), device=device)[:, None]
        rows = {
            "images": to_pixels(self.encoder_input(images)),
            "reconstructions": to_pixels(self.decode(codes)),
        }
        samples = self.sample(len(images), generator)
        if samples is not None:
            rows["samples"] = to_pixels(self.decode(samples.to(device)))
        for first in range(2):
            walk = torch.lerp(codes[first], codes[-1 - first], halfway)
            rows[f"interpolation {first + 1}"] = to_pixels(self.decode(walk))
        return rows
