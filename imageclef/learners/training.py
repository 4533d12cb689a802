"""What the learners that are trained by gradient share: their settings, their loop, their checkpoints.

Every epoch draws its randomness from (seed, epoch) alone, so that a training that was killed goes on from
its last checkpoint and ends with the weights of one that was not.
"""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from imageclef.errors import ArtifactError, TrainingError
from imageclef.learners.base import Images, Learner, LearnerSettings, Training
from imageclef.learners.checkpoint import Standing, load_training, save_training
from imageclef.learners.networks import Encoder, resize, to_pixels, to_unit_range
from imageclef.progress import Advance

CHECKPOINT = "checkpoint.safetensors"
HISTORY = "history.jsonl"
KEPT_EVERY = 300.0
"""Seconds: in a longer epoch, what a kill can cost."""

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
        TrainingError: fewer images than a batch, or a loss or a weight that is not finite.
    """
    settings = learner.settings
    n_batches = len(images) // settings.batch_size
    if settings.epochs and not n_batches:
        raise TrainingError(
            f"{len(images)} images to train on, fewer than learner.batch_size = {settings.batch_size}"
        )
    learner.to(training.device)
    optimizers = learner.optimizers()
    standing = _resume(learner, optimizers, training)
    with training.reporter.progress(
        "training", settings.epochs * n_batches * settings.batch_size, "images"
    ) as advance:
        advance((standing.epochs * n_batches + standing.batches) * settings.batch_size)
        for epoch in range(standing.epochs, settings.epochs):
            losses = _train_epoch(learner, optimizers, images, training, standing, advance)
            standing = Standing(epoch + 1)
            if training.folder is not None:
                _record(training.folder, epoch, losses)
                save_training(training.folder / CHECKPOINT, learner, optimizers, standing)
    learner.eval()


def _train_epoch(
    learner: NetworkLearner,
    optimizers: Optimizers,
    images: Images,
    training: Training,
    standing: Standing,
    advance: Advance,
) -> dict[str, float]:
    """One epoch, or what is left of it; returns the mean of each loss."""
    learner.train()
    size, epoch = learner.settings.batch_size, standing.epochs
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=training.device))
    seed = int(np.random.SeedSequence([training.seed, epoch]).generate_state(1)[0])
    bf16 = training.precision == "bf16"
    n_batches, kept_at = len(images) // size, time.monotonic()
    with torch.random.fork_rng(devices=[training.device] if training.device.type == "cuda" else []):
        torch.manual_seed(seed)
        order = torch.randperm(len(images)).numpy()
        sums.update(standing.restored(training.device))
        for done in range(standing.batches, n_batches):
            rows = order[done * size : (done + 1) * size]
            batch = images.batch(rows).to(training.device, non_blocking=True)
            with torch.autocast(training.device.type, torch.bfloat16, enabled=bf16):
                for name, loss in learner.step(batch, optimizers).items():
                    sums[name] += loss.detach().float()
            advance(size)
            if training.folder is not None and time.monotonic() - kept_at > KEPT_EVERY:
                _require_finite(learner, sums, training, epoch)
                now = Standing.within_epoch(epoch, done + 1, sums, training.device)
                save_training(training.folder / CHECKPOINT, learner, optimizers, now)
                kept_at = time.monotonic()
    _require_finite(learner, sums, training, epoch)
    return {name: float(total) / n_batches for name, total in sums.items()}


def _require_finite(
    learner: NetworkLearner, sums: Mapping[str, Tensor], training: Training, epoch: int
) -> None:
    """Stop before anything that is not finite is kept."""
    wrong = [f"the {name} loss is {float(total)}" for name, total in sums.items() if not total.isfinite()]
    weights = (name for name, weight in learner.state_dict().items() if not weight.isfinite().all())
    wrong += [f"weights {name} are not finite" for name in islice(weights, 1)]
    if wrong:
        kept = training.folder is not None and (training.folder / CHECKPOINT).exists()
        raise TrainingError(
            f"epoch {epoch + 1}: {wrong[0]}, expected a finite number; "
            "lower the learning rate, or set precision = 'fp32'"
            + (f"; the last good state is kept in {training.folder}" if kept else "")
        )


def _resume(learner: NetworkLearner, optimizers: Optimizers, training: Training) -> Standing:
    """Where a training that was stopped stands; a damaged checkpoint is said and begun anew."""
    if training.folder is None or not (training.folder / CHECKPOINT).exists():
        return Standing()
    try:
        return load_training(training.folder / CHECKPOINT, learner, optimizers)
    except ArtifactError as error:
        training.reporter.say(f"{error}; training begins anew")
        return Standing()


def _record(folder: Path, epoch: int, losses: dict[str, float]) -> None:
    """Append an epoch to the history; one that a killed training had already written is replaced."""
    history, beside = folder / HISTORY, folder / f".{HISTORY}.partial"
    kept = history.read_text(encoding="utf-8").splitlines()[:epoch] if history.exists() else []
    entry: dict[str, Any] = {"epoch": epoch + 1, **losses}
    beside.write_text("\n".join([*kept, json.dumps(entry)]) + "\n", encoding="utf-8")
    beside.replace(history)
    with SummaryWriter(str(folder / "tensorboard"), purge_step=epoch + 1) as writer:
        for name, loss in losses.items():
            writer.add_scalar(f"loss/{name}", loss, epoch + 1)
