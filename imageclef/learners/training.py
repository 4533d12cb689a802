"""What the learners that are trained by gradient share: their settings, their loop, their checkpoints.

Every epoch draws its randomness from (seed, epoch) alone, so that a training that was killed goes on from
its last checkpoint and ends with the weights of one that was not.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from imageclef.errors import TrainingError
from imageclef.learners.base import Images, Learner, LearnerSettings, Training
from imageclef.learners.checkpoint import load_training, save_training
from imageclef.learners.networks import Encoder, resize, to_pixels, to_unit_range
from imageclef.progress import Advance

CHECKPOINT = "checkpoint.safetensors"
HISTORY = "history.jsonl"

Optimizers = dict[str, torch.optim.Optimizer]
Losses = dict[str, Tensor]


class NetworkSettings(LearnerSettings):
    """What every network has.

    Attributes:
        crop_size: side of the network's input; training takes a random window of the stored image,
            extraction the whole image at this size.
        width: channels of the encoder's first level.
        latent_dim: length of a code.
        epochs: passes over the images; 0 leaves the network as it was drawn.
        batch_size: images in one update.
    """

    image_size: int = Field(default=72, ge=16)
    crop_size: int = Field(default=64, ge=16, multiple_of=16)
    width: int = Field(default=64, ge=1)
    latent_dim: int = Field(default=1024, ge=1)
    epochs: int = Field(default=50, ge=0)
    batch_size: int = Field(default=32, ge=2)

    @model_validator(mode="after")
    def _window_fits(self) -> NetworkSettings:
        if self.crop_size > self.image_size:
            raise ValueError(f"crop_size {self.crop_size} is larger than image_size {self.image_size}")
        return self


class NetworkLearner(Learner):
    """A learner with an encoder, whose features are the codes, and a decoder or generator."""

    settings: NetworkSettings
    encoder: Encoder

    @abstractmethod
    def optimizers(self) -> Optimizers:
        """New optimizers by name."""

    @abstractmethod
    def step(self, images: Tensor, optimizers: Optimizers) -> Losses:
        """Every update for one batch, uint8 (n, 3, image_size, image_size); returns the losses it took."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (n, latent_dim) to images (n, 3, crop_size, crop_size) in [-1, 1]."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Codes drawn from the prior, (n, latent_dim), on the CPU."""

    @property
    def n_features(self) -> int:
        """Length of a code."""
        return self.settings.latent_dim

    def fit(self, images: Images, training: Training) -> None:
        """Train for `settings.epochs` epochs."""
        train(self, images, training)

    def transform(self, images: Tensor) -> Tensor:
        """Codes of a batch: uint8 (n, 3, h, w) to float32 (n, latent_dim)."""
        codes: Tensor = self.encoder(self._input(images))
        return codes.float()

    def located(self, images: Tensor) -> Tensor:
        """What each position of the last level adds to the features, float32 (n, h, w, n_features)."""
        return self.encoder.located(self._input(images)).float()

    def pooled(self, images: Tensor) -> Tensor:
        """The encoder's last three levels pooled to 2x2 and joined, float32 (n, m)."""
        return self.encoder.pooled(self._input(images)).float()

    def pictures(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Images, their reconstructions, samples of the prior, and walks between the codes of two images."""
        device = images.device
        codes = self.transform(images)
        halfway = torch.linspace(0, 1, len(images), device=device)[:, None]
        samples = self.sample(len(images), generator).to(device)
        rows = {
            "images": to_pixels(self._input(images)),
            "reconstructions": to_pixels(self.decode(codes)),
            "samples": to_pixels(self.decode(samples)),
        }
        for first in range(2):
            walk = torch.lerp(codes[first], codes[-1 - first], halfway)
            rows[f"interpolation {first + 1}"] = to_pixels(self.decode(walk))
        return rows

    def _input(self, images: Tensor) -> Tensor:
        return to_unit_range(resize(images, self.settings.crop_size))


def adam(rate: float, betas: tuple[float, float], *modules: torch.nn.Module) -> torch.optim.Adam:
    """AMSGrad (Reddi et al. 2018) over the parameters of some modules."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return torch.optim.Adam(parameters, lr=rate, betas=betas, amsgrad=True, fused=True)


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step down a loss, for this optimizer's parameters only."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients = torch.autograd.grad(loss, parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()


def train(learner: NetworkLearner, images: Images, training: Training) -> None:
    """Train in place; the last incomplete batch of an epoch is left out.

    Raises:
        TrainingError: fewer images than a batch, or a loss that is not finite.
    """
    settings = learner.settings
    n_batches = len(images) // settings.batch_size
    if settings.epochs and not n_batches:
        raise TrainingError(
            f"{len(images)} images to train on, fewer than learner.batch_size = {settings.batch_size}"
        )
    learner.to(training.device)
    optimizers = learner.optimizers()
    done = _resume(learner, optimizers, training.folder)
    per_epoch = n_batches * settings.batch_size
    with training.reporter.progress("training", settings.epochs * per_epoch, "images") as advance:
        advance(done * per_epoch)
        for epoch in range(done, settings.epochs):
            losses = _train_epoch(learner, optimizers, images, training, epoch, advance)
            if training.folder is not None:
                _record(training.folder, epoch, losses)
                save_training(training.folder / CHECKPOINT, learner, optimizers, epoch + 1)
    learner.eval()


def _train_epoch(
    learner: NetworkLearner,
    optimizers: Optimizers,
    images: Images,
    training: Training,
    epoch: int,
    advance: Advance,
) -> dict[str, float]:
    learner.train()
    size = learner.settings.batch_size
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=training.device))
    seed = int(np.random.SeedSequence([training.seed, epoch]).generate_state(1)[0])
    bf16 = training.precision == "bf16"
    n_batches = len(images) // size
    with torch.random.fork_rng(devices=[training.device] if training.device.type == "cuda" else []):
        torch.manual_seed(seed)
        order = torch.randperm(len(images)).numpy()
        for rows in order[: n_batches * size].reshape(n_batches, size):
            batch = images.batch(rows).to(training.device, non_blocking=True)
            with torch.autocast(training.device.type, torch.bfloat16, enabled=bf16):
                for name, loss in learner.step(batch, optimizers).items():
                    sums[name] += loss.detach().float()
            advance(size)
    means = {name: float(total) / n_batches for name, total in sums.items()}
    for name, mean in means.items():
        if not math.isfinite(mean):
            raise TrainingError(
                f"epoch {epoch + 1}: the {name} loss is {mean}, expected a finite number; "
                "lower the learning rate, or set precision = 'fp32'"
            )
    return means


def _resume(learner: NetworkLearner, optimizers: Optimizers, folder: Path | None) -> int:
    if folder is None or not (folder / CHECKPOINT).exists():
        return 0
    return load_training(folder / CHECKPOINT, learner, optimizers)


def _record(folder: Path, epoch: int, losses: dict[str, float]) -> None:
    """Append an epoch to the history; one that a killed training had already written is replaced."""
    history = folder / HISTORY
    kept = history.read_text(encoding="utf-8").splitlines()[:epoch] if history.exists() else []
    entry: dict[str, Any] = {"epoch": epoch + 1, **losses}
    history.write_text("\n".join([*kept, json.dumps(entry)]) + "\n", encoding="utf-8")
    with SummaryWriter(str(folder / "tensorboard"), purge_step=epoch + 1) as writer:
        for name, loss in losses.items():
            writer.add_scalar(f"loss/{name}", loss, epoch + 1)
