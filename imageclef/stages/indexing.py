"""Index: built over the features of the training collection, then added to and removed from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from imageclef.config import Config, IndexSettings
from imageclef.data.concept_list import read_ids
from imageclef.data.ids import composed
from imageclef.errors import ArtifactError, DataError, MissingArtifact
from imageclef.progress import Reporter, Silent
from imageclef.retrieval import checking
from imageclef.retrieval.index import Index
from imageclef.settings import parse_settings
from imageclef.stages.indexed import (
    collection_files,
    files_of,
    keep_files,
    keep_sources,
    open_index,
    sources_of,
)
from imageclef.stages.report import Report, count_of, shown
from imageclef.workspace import TRAIN, Workspace


def index(
    config: Config, kind: str | None = None, recall: float | None = None, reporter: Reporter | None = None
) -> Report:
    """Build the index of the training collection; what was added to one that is up to date stays.

    Args:
        config: the configuration.
        kind: in place of the configuration's.
        recall: likewise, which part of the nearest an approximate kind is to find.
        reporter: told about the progress.

    Raises:
        MissingArtifact: its features have not been extracted.
        ConfigError: the kind cannot be built over so few images.
    """
    workspace, report = Workspace(_asked(config, kind, recall)), Report("index")
    features = workspace.features(TRAIN, unit=True)
    report.read.append(f"{workspace.features_label} of {TRAIN}: {count_of(len(features), 'row')}")
    path, digest, settings = workspace.index_path, workspace.features_digest(TRAIN), workspace.config.index
    if _is_of(path, digest, settings.recall):
        report.skipped.append(f"{shown(path)}: up to date")
        return _described(report, path)
    with (reporter or Silent()).progress("indexing", len(features), "rows") as advance:
        built = Index.build(
            features.features,
            features.ids,
            settings.metric,
            str(workspace.device),
            advance,
            kind=settings.kind,
            recall=settings.recall,
            made_with=workspace.made_with,
        )
        keep_files(built, collection_files(workspace, TRAIN, features.ids))
        keep_sources(built, {TRAIN: digest})
        built.save(path)
    report.wrote.append(shown(path))
    if built.recall is not None and not built.recall.reached:
        report.notes.append(
            f"recall {built.recall.measured:.3f} is the best that {settings.kind} reached; "
            f"{settings.recall} was asked for"
        )
    return _described(report, path)


def index_add(config: Config, collection: str) -> Report:
    """Add the images of another collection to the index; those that are in it are left alone.

    Raises:
        MissingArtifact: there is no index, or the features have not been extracted.
        ConfigError: they are of another learner.
        ArtifactError: another process is changing the index.
    """
    workspace, report = Workspace(config), Report("index add")
    open_index(workspace)
    features = workspace.features(collection, unit=True)
    report.read.append(f"{workspace.features_label} of {collection}: {count_of(len(features), 'row')}")
    with Index.changing(workspace.index_path) as index:
        present = set(index.ids)
        rows = [row for row, image_id in enumerate(features.ids) if image_id not in present]
        ids = [features.ids[row] for row in rows]
        if ids:
            index.add(features.features[np.array(rows)], ids, workspace.made_with)
            files = {
                **files_of(index),
                **{one.image_id: one for one in collection_files(workspace, collection, ids)},
            }
            keep_files(index, files.values())
            keep_sources(index, {**sources_of(index), collection: workspace.features_digest(collection)})
    if len(ids) < len(features):
        report.skipped.append(f"{count_of(len(features) - len(ids), 'image')}: in the index already")
    report.figures["added"] = len(ids)
    return _described(report, workspace.index_path)


def index_remove(config: Config, images: Sequence[str] = (), ids: Path | None = None) -> Report:
    """Remove images from the index.

    Args:
        config: the configuration.
        images: their ids.
        ids: a file with more of them.

    Raises:
        MissingArtifact: there is no index.
        DataError: an image is not in it.
        ConfigError: the kind cannot remove.
    """
    workspace, report = Workspace(config), Report("index remove")
    wanted = list(dict.fromkeys([*map(composed, images), *(read_ids(ids) if ids else [])]))
    if not wanted:
        raise DataError("index remove: no image is named; expected ids, or a file of them")
    open_index(workspace)
    with Index.changing(workspace.index_path) as index:
        index.remove(wanted)
        files = files_of(index)
        keep_files(index, (file for image_id, file in files.items() if image_id not in set(wanted)))
    report.figures["removed"] = len(wanted)
    return _described(report, workspace.index_path)


def index_info(config: Config) -> Report:
    """Say what the index is.

    Raises:
        MissingArtifact: there is none.
    """
    workspace = Workspace(config)
    open_index(workspace)
    return _described(Report("index info", read=[shown(workspace.index_path)]), workspace.index_path)


def index_check(config: Config) -> Report:
    """Read every byte of the index and hold it against its manifest; `ok` is False if anything is wrong.

    Raises:
        MissingArtifact: there is none.
    """
    workspace = Workspace(config)
    report = Report("index check", read=[shown(workspace.index_path)])
    try:
        report.notes += checking.check(workspace.index_path)
    except MissingArtifact:
        open_index(workspace)
    report.ok = not report.notes
    report.figures = {"damaged": len(report.notes)}
    return report.done()


def _asked(config: Config, kind: str | None, recall: float | None) -> Config:
    """The configuration with what was asked for in its place, checked as the file is."""
    given = {key: value for key, value in (("kind", kind), ("recall", recall)) if value is not None}
    settings = parse_settings(IndexSettings, {**config.index.model_dump(), **given}, "index")
    return config.model_copy(update={"index": settings})


def _is_of(path: Path, digest: str, recall: float) -> bool:
    """Whether there is a whole index over these features of the training collection."""
    try:
        index = Index.load(path)
        found = sources_of(index).get(TRAIN)
    except (MissingArtifact, ArtifactError):
        return False
    return found == digest and (index.recall is None or index.recall.asked == recall)


def _described(report: Report, path: Path) -> Report:
    report.figures |= checking.info(path)
    return report.done("imageclef knn   or   imageclef similar IMAGE")
