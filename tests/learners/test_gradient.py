"""The loop on the smallest learner: one linear layer, and labels or none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn
from torch.nn import functional as F

from imageclef.errors import TrainingError
from imageclef.learners import training as loop
from imageclef.learners.base import Training
from imageclef.learners.gradient import GradientLearner
from imageclef.learners.history import HISTORY
from imageclef.learners.images import DeviceImages, TrainingImages
from imageclef.learners.pixel_range import to_unit_range
from imageclef.learners.settings import SETTINGS, GradientSettings
from imageclef.learners.steps import Batch, Losses, Optimizers, adam
from tests.learners.drawing import blobs


class TinySettings(GradientSettings):
    image_size: int = 4
    epochs: int = 3
    batch_size: int = 8


class Tiny(GradientLearner):
    """Predicts the mean colour of an image from its pixels."""

    settings: TinySettings

    def __init__(self, **changes: object) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.settings = TinySettings(**changes)
        self.linear = nn.Linear(48, 3)
        self.seen: list[Batch] = []

    @property
    def n_features(self) -> int:
        return 3

    def optimizers(self) -> Optimizers:
        return {"linear": adam(0.05, (0.9, 0.99), self.linear)}

    def transform(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(to_unit_range(images).flatten(1))

    def step(self, batch: Batch, optimizers: Optimizers) -> Losses:
        self.seen.append(batch)
        target = self.target(batch)
        loss = F.mse_loss(self.transform(batch.images), target)
        self.update(optimizers["linear"], loss)
        return {"error": loss}

    def target(self, batch: Batch) -> torch.Tensor:
        return to_unit_range(batch.images).mean((2, 3))


class Labelled(Tiny):
    """Predicts concepts."""

    uses_labels = True

    def target(self, batch: Batch) -> torch.Tensor:
        assert batch.labels is not None
        return batch.labels


def fitted(folder: Path | None = None, kind: type[Tiny] = Tiny, **changes: object) -> Tiny:
    learner = kind(**changes)
    learner.fit(TrainingImages(DeviceImages(blobs(26, 4))), Training(seed=3, folder=folder))
    return learner


def seen(learner: Tiny) -> np.ndarray:
    return torch.cat([batch.images.flatten(1) for batch in learner.seen]).numpy()


def test_every_epoch_has_an_order_of_its_own_and_no_image_twice() -> None:
    learner = fitted()
    assert len(learner.seen) == 9
    epochs = [np.unique(epoch, axis=0) for epoch in np.split(seen(learner), 3)]
    assert [len(epoch) for epoch in epochs] == [24, 24, 24]
    orders = np.split(seen(learner), 3)
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[1], orders[2])
    np.testing.assert_array_equal(seen(learner), seen(fitted()))


def test_progress_runs_from_nothing_to_below_one() -> None:
    assert [batch.progress for batch in fitted().seen] == pytest.approx([place / 9 for place in range(9)])


def test_averaged_weights_equal_a_loop() -> None:
    weights = []

    class Recording(Tiny):
        def step(self, batch: Batch, optimizers: Optimizers) -> Losses:
            losses = super().step(batch, optimizers)
            weights.append(self.linear.weight.detach().clone())
            return losses

    averaged = fitted(None, Recording, averaging=0.8)
    expected = weights[0]
    for weight in weights[1:]:
        expected = 0.8 * expected + 0.2 * weight
    torch.testing.assert_close(averaged.linear.weight, expected)
    assert torch.equal(fitted().linear.weight, weights[-1])


def test_the_schedule_and_the_clip_reach_the_update() -> None:
    norms, rates = [], []

    class Recording(Tiny):
        def step(self, batch: Batch, optimizers: Optimizers) -> Losses:
            losses = super().step(batch, optimizers)
            rates.append(optimizers["linear"].param_groups[0]["lr"])
            norms.append(nn.utils.get_total_norm([p.grad for p in self.linear.parameters()]).item())
            return losses

    fitted(None, Recording, warmup=1 / 3, schedule="cosine", clip=0.01)
    assert rates[:4] == pytest.approx([0.05 / 3, 0.1 / 3, 0.05, 0.05])
    assert rates[8] == pytest.approx(0.025 * (1 + np.cos(np.pi * 5 / 6)))
    assert norms == pytest.approx([0.01] * 9, rel=1e-3)


def test_an_update_is_amsgrad() -> None:
    """Adam with the largest second moment so far: after one large gradient the steps stay small."""
    parameter = nn.Linear(1, 1, bias=False)
    nn.init.ones_(parameter.weight)
    reference = nn.Parameter(torch.ones(1, 1))
    ours, theirs = (
        adam(0.1, (0.5, 0.5), parameter),
        torch.optim.Adam([reference], 0.1, (0.5, 0.5), amsgrad=True),
    )
    for gradient in (100.0, 1.0, 1.0, 1.0):
        parameter.weight.grad, reference.grad = torch.full((1, 1), gradient), torch.full((1, 1), gradient)
        ours.step()
        theirs.step()
    torch.testing.assert_close(parameter.weight, reference)


@pytest.mark.parametrize("batches", [2, 7])
def test_a_kill_loses_nothing_of_schedule_and_average(
    batches: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", -1.0)
    changes = {"warmup": 0.3, "schedule": "cosine", "clip": 0.5, "averaging": 0.9}

    class Killed(Tiny):
        def step(self, batch: Batch, optimizers: Optimizers) -> Losses:
            if len(self.seen) == batches:
                raise KeyboardInterrupt
            return super().step(batch, optimizers)

    (tmp_path / "whole").mkdir()
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        fitted(tmp_path, Killed, **changes)
    resumed, whole = fitted(tmp_path, **changes), fitted(tmp_path / "whole", **changes)
    assert len(resumed.seen) == 9 - batches
    assert torch.equal(resumed.linear.weight, whole.linear.weight)
    assert (tmp_path / HISTORY).read_bytes() == (tmp_path / "whole" / HISTORY).read_bytes()


def test_the_history_holds_the_mean_loss_of_an_epoch_and_no_time(tmp_path: Path) -> None:
    fitted(tmp_path)
    entries = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert [set(entry) for entry in entries] == [{"epoch", "error"}] * 3
    learner = Tiny(epochs=1)
    losses = []
    step = learner.step
    learner.step = lambda batch, optimizers: losses.append(step(batch, optimizers)) or losses[-1]
    learner.fit(TrainingImages(DeviceImages(blobs(26, 4))), Training(seed=3))
    assert entries[0]["error"] == pytest.approx(np.mean([loss["error"].item() for loss in losses]))


def test_a_learner_with_labels_gets_those_of_its_images() -> None:
    images = blobs(26, 4)
    rows = np.arange(0, 26, 2)
    labels = csr_array(np.random.default_rng(0).integers(0, 2, (13, 3), dtype=np.uint8))
    learner = Labelled(batch_size=4)
    learner.fit(TrainingImages(DeviceImages(images), rows, labels), Training())
    of = {images[row].numpy().tobytes(): place for place, row in enumerate(rows)}
    for batch in learner.seen:
        assert batch.labels is not None
        for image, found in zip(batch.images, batch.labels, strict=True):
            expected = labels.toarray()[of[image.contiguous().numpy().tobytes()]]
            np.testing.assert_array_equal(found.numpy(), expected)


def test_a_learner_that_does_not_declare_it_gets_no_labels() -> None:
    assert all(batch.labels is None for batch in fitted().seen)
    images = TrainingImages(DeviceImages(blobs(8, 4)))
    with pytest.raises(TrainingError, match="uses_labels"):
        images.labels(np.arange(3))
    with pytest.raises(TrainingError, match="uses_labels"):
        fitted(None, Labelled)


def test_the_learners_that_use_labels_are_known() -> None:
    assert {name for name, kind in SETTINGS.items() if kind.uses_labels} == set()
