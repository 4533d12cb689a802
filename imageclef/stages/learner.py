"""Train: fit a learner to the training part of the training collection.

Only a learner that declares `uses_labels` is given the concepts of these images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.config import Config
from imageclef.data.store import ImageStore
from imageclef.data.vocabulary import Vocabulary
from imageclef.progress import Reporter, Silent
from imageclef.stages.labelled import held_out_rows, required_concepts
from imageclef.stages.report import Report, count_of, shown
from imageclef.storage.artifacts import Recipe, building, up_to_date
from imageclef.storage.checksums import digest_of_lines
from imageclef.workspace import TRAIN, Collection, Workspace

if TYPE_CHECKING:  # what is up to date is told without importing torch
    from imageclef.learners.base import Learner

_SHOWN = 10
_SHEET = "sheet.png"


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
    labels = None
    inputs = {
        "images": workspace.artifact("store", TRAIN).digest_of("images.npy"),
        "rows": digest_of_lines(map(str, rows.tolist())),
    }
    if workspace.choice.uses_labels:
        ids = [store.ids[row] for row in rows.tolist()]
        labels = _labels(collection, ids)
        inputs["concepts"] = workspace.artifact("collection", TRAIN).digest_of("concepts.tsv")
        report.notes.append(f"learner {workspace.choice.name} learns from the concepts of these images")
    recipe = Recipe(
        "train",
        {
            "learner": workspace.choice.name,
            **workspace.choice.settings.model_dump(),
            "precision": workspace.precision,
            "device": workspace.device_type,
        },
        inputs,
        config.seed,
    )
    path = workspace.learner_path
    if not force and up_to_date(path, recipe):
        report.skipped.append(f"{shown(path)}: up to date")
        return report.done("imageclef extract")
    _fit(workspace, store, rows, labels, recipe, reporter or Silent(), force)
    report.wrote.append(shown(path))
    return report.done("imageclef extract")


def _fit(
    workspace: Workspace,
    store: ImageStore,
    rows: NDArray[np.int64],
    labels: csr_array | None,
    recipe: Recipe,
    reporter: Reporter,
    force: bool,
) -> None:
    """Train the learner and publish it."""
    import torch

    from imageclef.learners.base import Training
    from imageclef.learners.history import HISTORY, TENSORBOARD
    from imageclef.learners.images import TrainingImages, on_device
    from imageclef.learners.table import create, save_learner
    from imageclef.learners.training import CHECKPOINT

    learner = create(workspace.choice, workspace.config.seed)
    # A checkpoint has each weight, its average and three moments; there are two while one replaces the other.
    needs = 10 * sum(tensor.nbytes for tensor in learner.state_dict().values())
    about: dict[str, Any] = {"device": workspace.device_name, "threads": torch.get_num_threads()}
    # The history and the sheet are for people to look at: the weights alone identify a learner.
    about |= {"scratch": (CHECKPOINT,), "logs": (HISTORY, TENSORBOARD, _SHEET), "force": force}
    with building(workspace.learner_path, recipe, needs=needs, **about) as folder:
        training = Training(workspace.config.seed, workspace.device, workspace.precision, folder, reporter)
        images = on_device(store, store.images, workspace.device)
        learner.fit(TrainingImages(images, rows, labels), training)
        save_learner(folder, workspace.choice.name, learner)
        _draw(workspace, learner, store, rows, folder / _SHEET)


def _labels(collection: Collection, ids: Sequence[str]) -> csr_array:
    """The concepts of these images, the most frequent first, uint8 (n_images, n_concepts).

    An image that the list does not name has none.

    Raises:
        DataError: the collection has no concept list.
    """
    concepts = required_concepts(collection)
    lists = [concepts.get(image_id, ()) for image_id in ids]
    return Vocabulary.count(lists).labels(lists)


def _draw(
    workspace: Workspace, learner: Learner, store: ImageStore, rows: NDArray[np.int64], path: Path
) -> None:
    """A row of images, and below it what the learner makes of them."""
    import torch

    from imageclef.data.pictures import write_picture_rows

    device = workspace.device
    learner.eval().to(device)
    spread = rows[np.linspace(0, len(rows) - 1, min(_SHOWN, len(rows))).astype(np.int64)]
    with torch.inference_mode():
        sheet = learner.sheet(store.batch(spread).to(device), torch.Generator().manual_seed(0))
    write_picture_rows(path, {name: row.permute(0, 2, 3, 1).cpu().numpy() for name, row in sheet.items()})
