"""What the loop keeps, and when it stops; what it learns is in test_contract.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from imageclef.errors import TrainingError
from imageclef.learners import training
from imageclef.learners.base import Learner, Training
from imageclef.learners.checkpoint import load_tensors
from imageclef.learners.history import HISTORY
from imageclef.learners.images import DeviceImages
from imageclef.learners.table import create
from imageclef.learners.training import CHECKPOINT
from imageclef.progress import Silent
from tests.learners.drawing import blobs
from tests.learners.test_contract import choose, fitted, tiny


class Interrupted(Exception):
    pass


def interrupted_after(batches: int, name: str, folder: Path) -> None:
    """Train, and stop as by a kill after so many batches."""
    learner = create(choose({"name": name, **tiny(name)}), 0)
    step, left = learner.step, [batches]

    def stepping(*arguments: object) -> object:
        if not left[0]:
            raise Interrupted
        left[0] -= 1
        return step(*arguments)

    learner.step = stepping
    images = DeviceImages(blobs(40, learner.settings.image_size))
    with pytest.raises(Interrupted, match=r"^$"):
        learner.fit(images, Training(seed=0, folder=folder))


@pytest.mark.parametrize(("name", "batches"), [("aae", 7), ("faae", 13)])
def test_within_an_epoch_nothing_is_lost_but_the_last_minutes(
    name: str, batches: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if every batch took longer than a checkpoint may be old."""
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", -1.0)
    interrupted_after(batches, name, tmp_path)
    _, kept = load_tensors(tmp_path / CHECKPOINT)
    assert 5 * kept["epoch"] + kept["batch"] == batches
    (tmp_path / "whole").mkdir()
    resumed, whole = fitted(name, folder=tmp_path), fitted(name, folder=tmp_path / "whole")
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key]), key
    assert (tmp_path / HISTORY).read_text() == (tmp_path / "whole" / HISTORY).read_text()


def test_a_damaged_checkpoint_is_said_and_begun_anew(tmp_path: Path) -> None:
    fitted("aae", folder=tmp_path, epochs=2)
    data = bytearray((tmp_path / CHECKPOINT).read_bytes())
    data[-40] ^= 1
    (tmp_path / CHECKPOINT).write_bytes(data)
    said: list[str] = []

    class Listening(Silent):
        def say(self, message: str) -> None:
            said.append(message)

    choice = choose({"name": "aae", **tiny("aae")})
    learner: Learner = create(choice, 0)
    images = DeviceImages(blobs(40, choice.settings.image_size))
    learner.fit(images, Training(seed=0, folder=tmp_path, reporter=Listening()))
    (message,) = said
    assert str(tmp_path / CHECKPOINT) in message
    assert "its tensors are not those that were written; training begins anew" in message
    for key, tensor in fitted("aae").state_dict().items():
        assert torch.equal(tensor, learner.state_dict()[key]), key


def test_weights_that_are_not_finite_are_never_kept(tmp_path: Path) -> None:
    """The losses of an epoch may be finite when its last update is not."""
    fitted("aae", folder=tmp_path, epochs=1)
    good = (tmp_path / CHECKPOINT).read_bytes()
    learner = create(choose({"name": "aae", **tiny("aae")}), 0)
    step, left = learner.step, [5]

    def stepping(*arguments: object) -> object:
        losses = step(*arguments)
        left[0] -= 1
        if not left[0]:
            next(learner.parameters()).data[0] = torch.inf
        return losses

    learner.step = stepping
    images = DeviceImages(blobs(40, learner.settings.image_size))
    with pytest.raises(
        TrainingError, match=r"epoch 2: weights .* are not finite.*the last good state is kept in"
    ):
        learner.fit(images, Training(seed=0, folder=tmp_path))
    assert (tmp_path / CHECKPOINT).read_bytes() == good
    assert [json.loads(line)["epoch"] for line in (tmp_path / HISTORY).read_text().splitlines()] == [1]
