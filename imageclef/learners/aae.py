"""Adversarial autoencoder (AAE): the learner of the best run of ImageCLEF caption 2018.

An autoencoder whose codes are made to look like draws from a prior. For each batch x:

1. reconstruction: the encoder E and the decoder D lower ||D(E(x)) - x||^2;
2. discrimination: C learns to tell z ~ prior (real) from E(x) (fake);
3. regularisation: E makes C take E(x) for real (the non-saturating loss).

The features of an image are E(x).

Reference: Makhzani et al. 2015, "Adversarial Autoencoders", arXiv:1511.05644; sizes and rates as published
for the run of 2018 (Pinho and Costa, "Feature Learning with Adversarial Networks for Concept Detection in
Medical Images", CLEF 2018 working notes).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imageclef.learners.encoder_learner import EncoderDecoder
from imageclef.learners.networks import Encoder, decoder, initialise
from imageclef.learners.pixel_range import to_unit_range
from imageclef.learners.priors import sample_prior
from imageclef.learners.settings import AAESettings
from imageclef.learners.steps import Batch, Losses, Optimizers, adam
from imageclef.learners.views import random_crop


class AAE(EncoderDecoder):
    """Adversarial autoencoder."""

    settings: AAESettings

    def __init__(self, settings: AAESettings) -> None:
        super().__init__()
        self.settings = settings
        size, n_codes = settings.crop_size, settings.latent_dim
        self.encoder = Encoder(size, settings.width, n_codes)
        self.decoder = decoder(size, settings.width, n_codes)
        self.discriminator = _code_discriminator(n_codes, settings.discriminator_width, settings.dropout)
        initialise(self)

    def optimizers(self) -> Optimizers:
        """One for each of the three updates."""
        rate, betas = self.settings.learning_rate, self.settings.betas
        return {
            "reconstruction": adam(rate, betas, self.encoder, self.decoder),
            "discriminator": adam(rate, betas, self.discriminator),
            "regularisation": adam(self.settings.regularisation_rate, betas, self.encoder),
        }

    def step(self, batch: Batch, optimizers: Optimizers) -> Losses:
        """The three updates, in the order of the paper."""
        x = to_unit_range(random_crop(batch.images, self.settings.crop_size))
        z = self.sample(len(x)).to(x.device)

        reconstruction = F.mse_loss(self.decoder(self.encoder(x)).float(), x)
        self.update(optimizers["reconstruction"], reconstruction)

        codes = self.encoder(x)
        real, fake = self.discriminator(z), self.discriminator(codes.detach())
        drift = self.settings.drift * torch.cat([real, fake]).float().var()
        discrimination = _bce(real, 1.0) + _bce(fake, 0.0) + drift
        self.update(optimizers["discriminator"], discrimination)

        regularisation = _bce(self.discriminator(codes), 1.0)
        self.update(optimizers["regularisation"], regularisation)

        return {
            "reconstruction": reconstruction,
            "discriminator": discrimination,
            "regularisation": regularisation,
        }

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (n, latent_dim) to images (n, 3, crop_size, crop_size) in [-1, 1]."""
        images: Tensor = self.decoder(codes)
        return images

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Codes drawn from the prior, (n, latent_dim)."""
        return sample_prior(self.settings.prior, n, self.settings.latent_dim, generator)


def _code_discriminator(n_codes: int, width: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in (n_codes, width, width):
        layers += [nn.Linear(inputs, width), nn.LayerNorm(width), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(width, 1))


def _bce(logits: Tensor, target: float) -> Tensor:
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
