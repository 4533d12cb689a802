"""Extract: the learner's features of every image of a collection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from imageclef.config import Config
from imageclef.progress import Reporter, Silent
from imageclef.stages.report import OR, Report, count_of, shown
from imageclef.storage.artifacts import Recipe, building, up_to_date
from imageclef.workspace import Workspace

if TYPE_CHECKING:  # what is up to date is told without importing torch
    from imageclef.learners.base import Learner


def extract(
    config: Config, collection: str | None = None, reporter: Reporter | None = None, *, force: bool = False
) -> Report:
    """Extract the features of every collection, or of the one named.

    Args:
        config: the configuration.
        collection: one of them.
        reporter: told about the progress.
        force: whether it is made again although it is up to date, or was changed after it was written.

    Raises:
        MissingArtifact: a collection has not been ingested, or the learner not trained.
    """
    workspace, report = Workspace(config), Report("extract")
    report.read.append(shown(workspace.artifact("learner").path))
    learner: Learner | None = None
    for name in workspace.chosen(collection):
        recipe = Recipe(
            "extract",
            {
                "output": config.extract.output,
                "precision": workspace.precision,
                "device": workspace.device_type,
            },
            {
                "learner": workspace.artifact("learner").digest,
                "store": workspace.artifact("store", name).digest_of("images.npy", "ids.txt"),
            },
        )
        path = workspace.features_path(name)
        if not force and up_to_date(path, recipe):
            report.skipped.append(f"{shown(path)}: up to date")
            continue
        learner = learner or workspace.learner()
        _extract_one(workspace, name, learner, path, recipe, report, reporter or Silent(), force)
    return report.done(f"imageclef classify{OR}imageclef index")


def _extract_one(
    workspace: Workspace,
    name: str,
    learner: Learner,
    path: Path,
    recipe: Recipe,
    report: Report,
    reporter: Reporter,
    force: bool,
) -> None:
    """Publish the features of one collection."""
    from imageclef.features.extract import ROWS_DONE, begun, width_of
    from imageclef.features.extract import extract as extract_into
    from imageclef.learners.images import on_device

    config, store = workspace.config, workspace.store(name)
    images = on_device(store, store.images, workspace.device)
    width = width_of(learner, images, config.extract.output)
    needs, device = 4 * len(store) * width, workspace.device_name
    with building(path, recipe, needs=needs, scratch=(ROWS_DONE,), force=force, device=device) as folder:
        features = begun(folder, store.ids, width)
        with reporter.progress(f"extracting {name}", len(store), "images") as advance:
            extract_into(
                learner,
                images,
                features,
                output=config.extract.output,
                precision=workspace.precision,
                batch_size=config.extract.batch_size,
                advance=advance,
                folder=folder,
            )
        features.flush()
    report.wrote.append(f"{shown(path)}: {count_of(len(store), 'row')} of {width}")
