"""Flipped adversarial autoencoder (F-AAE): a generator of images, and an encoder that inverts it.

For each batch x and z ~ prior, with a generator G that paints a coarse and a fine image of the same code:

1. criticism: D raises D(x) - D(G(z)), held smooth by a gradient penalty (both levels, seen together);
2. generation: G raises D(G(z));
3. inversion: E lowers ||E(G(z)) - z||^2 and the angle between the two.

The features of an image are E(x), though E was trained on generated images only.

Reference: Zhang et al. 2018, "Flipped-Adversarial AutoEncoders", arXiv:1802.04504; Gulrajani et al. 2017
for the gradient penalty; Karras et al. 2018 for the minibatch deviation and the pixel norm; sizes and rates
as published for the run of 2018.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imageclef.learners.encoder_learner import EncoderDecoder
from imageclef.learners.networks import Encoder, initialise
from imageclef.learners.pixel_range import to_unit_range
from imageclef.learners.priors import sample_prior
from imageclef.learners.settings import FAAESettings
from imageclef.learners.steps import Batch, Losses, Optimizers, adam
from imageclef.learners.views import random_crop


class Levels(NamedTuple):
    """One batch of images at two sizes: (n, 3, s/4, s/4) and (n, 3, s, s), in [-1, 1]."""

    coarse: Tensor
    fine: Tensor


class FAAE(EncoderDecoder):
    """Flipped adversarial autoencoder."""

    settings: FAAESettings
    n_steps: Tensor

    def __init__(self, settings: FAAESettings) -> None:
        super().__init__()
        self.settings = settings
        size, n_codes = settings.crop_size, settings.latent_dim
        self.encoder = Encoder(size, settings.width, n_codes)
        self.generator = Generator(size, settings.generator_width, n_codes, settings.dropout)
        self.critic = Critic(size, settings.critic_width)
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.int64))
        # With N(0, 0.02) the critic starts flat, and its penalty takes thousands of batches to make it slope.
        initialise(self, deviation=None)

    def optimizers(self) -> Optimizers:
        """One for each of the three networks."""
        rate, betas = self.settings.learning_rate, self.settings.betas
        return {
            "critic": adam(self.settings.critic_learning_rate, betas, self.critic),
            "generator": adam(rate, betas, self.generator),
            "encoder": adam(rate, betas, self.encoder),
        }

    def step(self, batch: Batch, optimizers: Optimizers) -> Losses:
        """Critic, generator, encoder."""
        fine = to_unit_range(random_crop(batch.images, self.settings.crop_size))
        x = Levels(F.avg_pool2d(fine, 4), fine)
        z = self.sample(len(fine)).to(fine.device)

        fake = self.generator(z)
        criticism = self._criticism(x, Levels(fake.coarse.detach(), fake.fine.detach()))
        self.update(optimizers["critic"], criticism)

        generation = -self.critic(fake).float().mean()
        self.update(optimizers["generator"], generation)

        inverted = self.encoder(fake.fine.detach()).float()
        angle = 1 - F.cosine_similarity(inverted, z).mean()
        inversion = F.mse_loss(inverted, z) + self.settings.cosine * angle
        self.update(optimizers["encoder"], inversion)

        return {"critic": criticism, "generator": generation, "encoder": inversion, "angle": angle}

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (n, latent_dim) to the generator's fine images (n, 3, crop_size, crop_size) in [-1, 1]."""
        levels: Levels = self.generator(codes)
        return levels.fine

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Codes drawn from the prior, (n, latent_dim)."""
        return sample_prior(self.settings.prior, n, self.settings.latent_dim, generator)

    def _criticism(self, real: Levels, fake: Levels) -> Tensor:
        on_real, on_fake = self.critic(real).float(), self.critic(fake).float()
        criticism: Tensor = on_fake.mean() - on_real.mean() + self.settings.drift * on_real.square().mean()
        every = self.settings.penalty_every
        if int(self.n_steps) % every == 0:
            weight = every * self.settings.gradient_penalty
            criticism = criticism + weight * self._gradient_penalty(real, fake)
        self.n_steps += 1
        return criticism

    def _gradient_penalty(self, real: Levels, fake: Levels) -> Tensor:
        """Mean of (||dD/dx|| - 1)^2 at random points between real and generated images."""
        exact = real.fine.dtype
        mix = torch.rand(len(real.fine), 1, 1, 1, device=real.fine.device, dtype=exact)
        between = Levels(
            *(torch.lerp(f.to(exact), r, mix).requires_grad_() for r, f in zip(real, fake, strict=True))
        )
        gradients = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        whole = torch.cat([gradient.to(exact).flatten(1) for gradient in gradients], dim=1)
        norms = (whole.square().sum(1) + 1e-12).sqrt()
        penalty: Tensor = (norms - 1).square().mean()
        return penalty


class Generator(nn.Module):
    """Codes (n, n_codes) to images at a quarter of the size and at the size."""

    def __init__(self, size: int, width: int, n_codes: int, dropout: float) -> None:
        super().__init__()
        side = size // 16
        self.start = nn.Sequential(
            nn.Linear(n_codes, 16 * width * side * side),
            nn.Dropout(dropout),
            nn.Unflatten(1, (16 * width, side, side)),
        )
        self.to_coarse = nn.Sequential(_up(16 * width, 8 * width), _up(8 * width, 4 * width))
        self.to_fine = nn.Sequential(_up(4 * width, 2 * width), _up(2 * width, width))
        self.coarse_head = nn.Sequential(nn.Conv2d(4 * width, 3, 1), nn.Tanh())
        self.fine_head = nn.Sequential(nn.Conv2d(width, 3, 1), nn.Tanh())

    def forward(self, codes: Tensor) -> Levels:
        """Both levels of the images of these codes."""
        coarse = self.to_coarse(self.start(codes))
        return Levels(self.coarse_head(coarse), self.fine_head(self.to_fine(coarse)))


class Critic(nn.Module):
    """Images at both levels to one number each, (n, 1)."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(*_down(3, width, 2 * width), *_down(2 * width, 2 * width, 4 * width))
        self.coarse = nn.Conv2d(3, 2 * width, 1)
        self.joined = nn.Sequential(
            *_down(6 * width, 4 * width, 8 * width), *_down(8 * width, 8 * width, 16 * width)
        )
        self.score = nn.Linear(16 * width * (size // 16) ** 2 + 1, 1)

    def forward(self, images: Levels) -> Tensor:
        """Scores (n, 1); higher is more real."""
        joined = torch.cat([self.fine(images.fine), F.leaky_relu(self.coarse(images.coarse), 0.2)], dim=1)
        activations = self.joined(joined)
        exact = torch.promote_types(activations.dtype, torch.float32)
        deviation = (activations.to(exact).var(0, correction=0) + 1e-8).sqrt().mean()
        column = deviation.to(activations.dtype).expand(len(activations), 1)
        scores: Tensor = self.score(torch.cat([activations.flatten(1), column], dim=1))
        return scores


class PixelNorm(nn.Module):
    """Each pixel's channels scaled to mean square one (Karras et al. 2018)."""

    def forward(self, activations: Tensor) -> Tensor:
        """Same shape, (n, c, h, w)."""
        return activations * (activations.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def _up(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1),
        nn.LeakyReLU(0.2),
        PixelNorm(),
        nn.Conv2d(after, after, 3, padding=1),
        nn.LeakyReLU(0.2),
        PixelNorm(),
    )


def _down(before: int, middle: int, after: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, middle, 3, stride=2, padding=1),
        nn.BatchNorm2d(middle),
        nn.LeakyReLU(0.2),
        nn.Conv2d(middle, after, 3, padding=1),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(0.2),
    ]
