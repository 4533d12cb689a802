"""Train: a learner is fitted to the images of the training collection; labels are not used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from imageclef.config import Config
from imageclef.data.pictures import write_picture_rows
from imageclef.data.store import ImageStore
from imageclef.learners.base import Learner, Training
from imageclef.learners.images import DeviceImages, Images, TrainingImages
from imageclef.learners.table import save_learner
from imageclef.learners.training import CHECKPOINT, HISTORY
from imageclef.progress import Reporter, Silent
from imageclef.stages.labelled import held_out_rows
from imageclef.stages.report import Report, count_of, shown
from imageclef.storage.artifacts import Recipe, building, up_to_date
from imageclef.workspace import TRAIN, Workspace

_SHOWN = 10
_LOGS = (HISTORY, "tensorboard", "sheet.png")
"""What is kept for people to look at: the weights alone identify a learner."""


def train(config: Config, reporter: Reporter | None = None, *, force: bool = False) -> Report:
    """Fit the learner of the configuration on the training collection, less its held-out part.

    Args:
        config: the configuration.
        reporter: told about the progress.
        force: whether it is made again although it is up to date, or was changed after it was written.

    Raises:
        MissingArtifact: the training collection has not been ingested.
        TrainingError: the fit cannot go on; what was done so far is kept.
    """
    workspace, report = Workspace(config), Report("train")
    collection, store = workspace.collection(TRAIN), workspace.store(TRAIN)
    rows = np.flatnonzero(~held_out_rows(workspace, collection, store.ids))
    report.read.append(f"{shown(workspace.store_path(TRAIN))}: {count_of(len(rows), 'image')} to learn from")
    recipe = Recipe(
        "train",
        {
            "learner": workspace.choice.name,
            **workspace.choice.settings.model_dump(),
            "split": config.split.model_dump(),
            "precision": workspace.precision,
            "device": workspace.device.type,
        },
        {"store": workspace.artifact("store", TRAIN).digest},
        config.seed,
    )
    path = workspace.learner_path
    if not force and up_to_date(path, recipe):
        report.skipped.append(f"{shown(path)}: up to date")
        return report.done("imageclef extract")
    learner = workspace.choice.create(config.seed)
    # A checkpoint has each weight and three moments of it; there are two while one replaces the other.
    needs = 8 * sum(tensor.nbytes for tensor in learner.state_dict().values())
    about: dict[str, Any] = {"device": str(workspace.device), "threads": torch.get_num_threads()}
    with building(
        path, recipe, needs=needs, scratch=(CHECKPOINT,), logs=_LOGS, force=force, **about
    ) as folder:
        training = Training(config.seed, workspace.device, workspace.precision, folder, reporter or Silent())
        learner.fit(TrainingImages(on_device(store, workspace.device), rows), training)
        save_learner(folder, workspace.choice.name, learner)
        _draw(learner, store, rows, workspace.device, folder / "sheet.png")
    report.wrote.append(shown(path))
    return report.done("imageclef extract")


def on_device(store: ImageStore, device: torch.device) -> Images:
    """The store itself on the CPU; on another device, all of it there in one tensor."""
    if device.type == "cpu":
        return store
    pixels = torch.from_numpy(np.asarray(store.images)).to(device).permute(0, 3, 1, 2)
    return DeviceImages(pixels.expand(-1, 3, -1, -1))


def _draw(learner: Learner, store: ImageStore, rows: np.ndarray, device: torch.device, path: Path) -> None:
    """A row of images, and below it what the learner makes of them."""
    learner.eval().to(device)
    spread = rows[np.linspace(0, len(rows) - 1, min(_SHOWN, len(rows))).astype(np.int64)]
    with torch.inference_mode():
        pictures = learner.sheet(store.batch(spread).to(device), torch.Generator().manual_seed(0))
    write_picture_rows(path, {name: row.permute(0, 2, 3, 1).cpu().numpy() for name, row in pictures.items()})
