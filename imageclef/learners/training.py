"""The training loop of every learner that is trained by gradient.

The randomness of an epoch is drawn from (seed, epoch) alone, and a checkpoint within an epoch holds the
states of the generators, so that a training that was killed goes on from its last checkpoint and ends with
the weights of one that was not.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from imageclef.errors import ArtifactError, TrainingError
from imageclef.learners.base import Training
from imageclef.learners.checkpoint import TrainingState, load_training, save_training
from imageclef.learners.history import record_epoch
from imageclef.learners.images import TrainingImages
from imageclef.learners.processes import average_buffers, average_over_processes, begin_alike
from imageclef.learners.processes import n_processes as processes_together
from imageclef.learners.processes import rank as rank_here
from imageclef.learners.schedule import rate_factor, set_rates
from imageclef.learners.settings import GradientSettings
from imageclef.learners.steps import Batch, Optimizers, Step

CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_EVERY = 300.0
"""Seconds between checkpoints within an epoch: the most that a kill can cost."""


def train(
    module: nn.Module,
    step: Step,
    optimizers: Optimizers,
    images: TrainingImages,
    training: Training,
    settings: GradientSettings,
    uses_labels: bool = False,
) -> None:
    """Train in place; the last incomplete batch of an epoch is left out.

    Args:
        module: what is trained, on its device.
        step: every update for one batch.
        optimizers: new ones; a checkpoint in the folder of the training restores them.
        images: to train on.
        training: seed, device, precision, folder.
        settings: epochs, batches, learning rates, averaging.
        uses_labels: whether a batch brings its labels.

    Raises:
        TrainingError: there are fewer images than a batch, or a loss or a weight is not finite.
    """
    loop = _Loop(module, step, optimizers, images, training, settings, uses_labels)
    loop.run()
    module.eval()


class _Loop:
    def __init__(
        self,
        module: nn.Module,
        step: Step,
        optimizers: Optimizers,
        images: TrainingImages,
        training: Training,
        settings: GradientSettings,
        uses_labels: bool,
    ) -> None:
        self.module, self.step, self.optimizers = module, step, optimizers
        self.images, self.training, self.settings, self.uses_labels = images, training, settings, uses_labels
        self.n_batches = len(images) // settings.batch_size
        self.n_updates = self.n_batches * settings.epochs
        self.rank, self.n_processes = rank_here(), processes_together()
        if settings.epochs and not self.n_batches:
            raise TrainingError(
                f"{len(images)} images to train on, fewer than learner.batch_size = {settings.batch_size}"
            )
        if settings.batch_size % self.n_processes:
            raise TrainingError(
                f"learner.batch_size = {settings.batch_size} for {self.n_processes} processes; "
                "expected a multiple of their number"
            )
        self.average = _average_of(module, settings.averaging)
        self.state = self._resume()
        begin_alike(module)

    def run(self) -> None:
        """Every epoch that is left; then the averaged weights take the place of the last ones."""
        size, folder = self.settings.batch_size, self.training.folder
        with self.training.reporter.progress("training", self.n_updates * size, "images") as advance:
            advance((self.state.epochs * self.n_batches + self.state.batches) * size)
            self.advance = advance
            for epoch in range(self.state.epochs, self.settings.epochs):
                losses = self._epoch(epoch)
                self.state = TrainingState(epoch + 1)
                if folder is not None and self.rank == 0:
                    record_epoch(folder, epoch, losses)
                    self._save(self.state)
        if self.average is not None:
            self.module.load_state_dict(self.average.module.state_dict())

    def _epoch(self, epoch: int) -> dict[str, float]:
        """One epoch, or what is left of it; returns the mean of each loss."""
        self.module.train()
        device = self.training.device
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=device))
        saved_at = time.monotonic()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            order = self._order(epoch)
            sums.update(self.state.restored(device))
            for done in range(self.state.batches, self.n_batches):
                self._update(epoch, done, order, sums)
                # The states of the generators of other processes are not in the checkpoint of the first.
                due = time.monotonic() - saved_at > CHECKPOINT_EVERY and self.n_processes == 1
                if due and self.training.folder is not None:
                    self._require_finite(sums, epoch)
                    self._save(TrainingState.within_epoch(epoch, done + 1, sums, device))
                    saved_at = time.monotonic()
        average_over_processes(list(sums.values()))
        average_buffers(self.module)
        self._require_finite(sums, epoch)
        return {name: float(total) / self.n_batches for name, total in sums.items()}

    def _order(self, epoch: int) -> np.ndarray:
        """Seed this epoch and draw its order, which all processes share; the rest each draws for itself."""
        torch.manual_seed(_seed(self.training.seed, epoch))
        order: np.ndarray = torch.randperm(len(self.images)).numpy()
        if self.rank:
            torch.manual_seed(_seed(self.training.seed, epoch, self.rank))
        return order

    def _update(self, epoch: int, done: int, order: np.ndarray, sums: dict[str, Tensor]) -> None:
        settings, device = self.settings, self.training.device
        rows = order[done * settings.batch_size : (done + 1) * settings.batch_size]
        at = epoch * self.n_batches + done
        set_rates(
            self.optimizers.values(), rate_factor(at, self.n_updates, settings.warmup, settings.schedule)
        )
        batch = self._batch(rows[self.rank :: self.n_processes], at / self.n_updates)
        bf16 = self.training.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            for name, loss in self.step(batch, self.optimizers).items():
                sums[name] += loss.detach().float()
        if self.average is not None:
            self.average.update_parameters(self.module)
        self.advance(settings.batch_size)

    def _batch(self, rows: np.ndarray, progress: float) -> Batch:
        device = self.training.device
        batch = Batch(self.images.batch(rows).to(device, non_blocking=True), None, progress)
        if not self.uses_labels:
            return batch
        labels = torch.from_numpy(self.images.labels(rows).toarray()).float()
        return replace(batch, labels=labels.to(device, non_blocking=True))

    def _save(self, state: TrainingState) -> None:
        if self.training.folder is not None:
            path = self.training.folder / CHECKPOINT
            save_training(path, self.module, self.optimizers, state, self.average)

    def _resume(self) -> TrainingState:
        """Restore the last checkpoint; a damaged one is reported, and the training begins anew."""
        folder = self.training.folder
        if folder is None or not (folder / CHECKPOINT).exists():
            return TrainingState()
        try:
            return load_training(folder / CHECKPOINT, self.module, self.optimizers, self.average)
        except ArtifactError as error:
            self.training.reporter.say(f"{error}; training begins anew")
            return TrainingState()

    def _require_finite(self, sums: Mapping[str, Tensor], epoch: int) -> None:
        """Stop before anything that is not finite is saved."""
        wrong = [f"the {name} loss is {float(total)}" for name, total in sums.items() if not total.isfinite()]
        weights = (name for name, weight in self.module.state_dict().items() if not weight.isfinite().all())
        wrong += [f"weights {name} are not finite" for name in islice(weights, 1)]
        if wrong:
            folder = self.training.folder
            saved = folder is not None and (folder / CHECKPOINT).exists()
            raise TrainingError(
                f"epoch {epoch + 1}: {wrong[0]}, expected a finite number; "
                "lower the learning rate, or set precision = 'fp32'"
                + (f"; the last good state is kept in {folder}" if saved else "")
            )


def _average_of(module: nn.Module, decay: float) -> AveragedModel | None:
    """The exponential average of a module's weights; buffers are copied from the last step."""
    if not decay:
        return None
    averaged_by: Any = get_ema_multi_avg_fn  # not typed
    return AveragedModel(module, multi_avg_fn=averaged_by(decay))


def _seed(*entropy: int) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
