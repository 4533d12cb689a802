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
from imageclef.retrieval.index import IndexedImage
from imageclef.retrieval.index_artifact import About, SkippedFile, StoredIndex
from imageclef.retrieval.index_changes import Change, build_index, change_index
from imageclef.settings import parse_settings
from imageclef.stages.report import OR, Report, command, count_of, shown
from imageclef.storage.artifacts import verify
from imageclef.workspace import TRAIN, Workspace


def index(
    config: Config,
    kind: str | None = None,
    recall: float | None = None,
    reporter: Reporter | None = None,
    *,
    force: bool = False,
) -> Report:
    """Build the index of the training collection; if it is up to date, images that were added stay.

    Args:
        config: the configuration.
        kind: instead of the configuration's.
        recall: which part of the nearest an approximate kind is to find, instead of the configuration's.
        reporter: told about the progress.
        force: whether it is built although it is up to date, or was changed after it was written.

    Raises:
        MissingArtifact: its features have not been extracted.
        ConfigError: the kind cannot be built over so few images.
        ArtifactError: another process is changing the index.
    """
    workspace, report = Workspace(_asked(config, kind, recall)), Report("index")
    features = workspace.features(TRAIN, unit=True)
    report.read.append(f"{workspace.features_label} of {TRAIN}: {count_of(len(features), 'row')}")
    path, digest, settings = workspace.index_path, workspace.features_digest(TRAIN), workspace.config.index
    if not force and (found := _up_to_date(workspace, digest)):
        report.skipped.append(f"{shown(path)}: up to date")
        return _described(report, found, kind)
    about = About(
        kind=settings.kind,
        metric=settings.metric,
        n_images=0,
        n_features=features.n_features,
        features=workspace.features_identity,
        features_label=workspace.features_label,
        sources={TRAIN: digest},
        asked=settings.recall,
    )
    images = indexed_images(workspace, TRAIN, features.ids)
    with (reporter or Silent()).progress("indexing", len(features), "rows") as advance:
        skipped = skipped_files(workspace, TRAIN)
        built = build_index(path, features.features, images, about, advance, force, skipped)
    report.wrote.append(shown(path))
    if built.about.recall is not None and not built.about.recall.reached:
        report.notes.append(
            f"recall {built.about.recall.measured:.3f} is the best that {settings.kind} reached; "
            f"{settings.recall} was asked for"
        )
    return _described(report, built, kind)


def index_add(config: Config, collection: str) -> Report:
    """Add the images of another collection to the index; images that are in it are left alone.

    Raises:
        MissingArtifact: there is no index, or the features have not been extracted.
        ConfigError: the index is of other features.
        ArtifactError: another process is changing the index.
    """
    workspace, report = Workspace(config), Report("index add")
    workspace.index().require_features(workspace.features_identity, workspace.features_label)
    features = workspace.features(collection, unit=True)
    report.read.append(f"{workspace.features_label} of {collection}: {count_of(len(features), 'row')}")

    def added(before: StoredIndex) -> Change | None:
        present = before.index.row_of_key
        rows = [row for row, image_id in enumerate(features.ids) if (collection, image_id) not in present]
        if not rows:
            return None
        images = indexed_images(workspace, collection, [features.ids[row] for row in rows])
        sources = {collection: workspace.features_digest(collection)}
        skipped = [*before.skipped, *skipped_files(workspace, collection)]
        return Change(None, features.features[np.array(rows)], images, sources, skipped)

    before = len(workspace.index().index)
    changed = change_index(workspace.index_path, added)
    n_added = len(changed.index) - before
    if n_added < len(features):
        report.skipped.append(f"{count_of(len(features) - n_added, 'image')}: in the index already")
    if n_added:
        report.wrote.append(shown(workspace.index_path))
    report.figures["added"] = n_added
    return _described(report, changed)


def index_remove(config: Config, images: Sequence[str] = (), ids: Path | None = None) -> Report:
    """Remove images from the index.

    Args:
        config: the configuration.
        images: their ids, or COLLECTION/ID.
        ids: a file with more of them.

    Raises:
        MissingArtifact: there is no index.
        DataError: an image is not in it, or several collections have an image of this id.
        ConfigError: the kind cannot remove.
    """
    workspace, report = Workspace(config), Report("index remove")
    wanted = list(dict.fromkeys([*map(composed, images), *(read_ids(ids) if ids else [])]))
    if not wanted:
        raise DataError("index remove: no image is named; expected ids, or a file of them")

    def removed(before: StoredIndex) -> Change:
        rows = before.index.rows_of(wanted)
        return Change(keep=np.setdiff1d(np.arange(len(before.index)), rows))

    changed = change_index(workspace.index_path, removed)
    report.wrote.append(shown(workspace.index_path))
    report.figures["removed"] = len(wanted)
    return _described(report, changed)


def index_info(config: Config) -> Report:
    """Show the index: size, features, metric, recall.

    Raises:
        MissingArtifact: there is none.
    """
    workspace = Workspace(config)
    return _described(Report("index info", read=[shown(workspace.index_path)]), workspace.index())


def index_check(config: Config) -> Report:
    """Read every byte of the index and compare it with its manifest; `ok` is False if anything is wrong.

    Raises:
        MissingArtifact: there is none.
    """
    workspace = Workspace(config)
    report = Report("index check", read=[shown(workspace.index_path)])
    if not workspace.index_path.exists():
        workspace.index()
    report.notes += verify(workspace.index_path)
    report.ok = not report.notes
    report.figures = {"damaged": len(report.notes)}
    return report.done()


def indexed_images(workspace: Workspace, collection: str, ids: Sequence[str]) -> list[IndexedImage]:
    """Images of an ingested collection with their paths and digests; empty where they have no file."""
    files = workspace.store(collection).files
    return [IndexedImage(collection, image_id, *files.get(image_id, ("", ""))) for image_id in ids]


def skipped_files(workspace: Workspace, collection: str) -> list[SkippedFile]:
    """Files of an ingested collection that could not be read."""
    refused = workspace.store(collection).refused
    return [
        SkippedFile(collection, one.image_id, one.path, one.digest, str(one)) for one in refused if one.digest
    ]


def _asked(config: Config, kind: str | None, recall: float | None) -> Config:
    """The configuration with what was asked for in its place, checked as the file is."""
    given = {key: value for key, value in (("kind", kind), ("recall", recall)) if value is not None}
    settings = parse_settings(IndexSettings, {**config.index.model_dump(), **given}, "index")
    return config.model_copy(update={"index": settings})


def _up_to_date(workspace: Workspace, digest: str) -> StoredIndex | None:
    """The index, if it is whole and of these features of the training collection."""
    try:
        found = workspace.index()
    except (MissingArtifact, ArtifactError):
        return None
    same = found.about.sources.get(TRAIN) == digest and found.about.features == workspace.features_identity
    return found if same and found.about.asked == workspace.config.index.recall else None


def _described(report: Report, stored: StoredIndex, kind: str | None = None) -> Report:
    report.figures |= stored.facts()
    # The kind that was asked for names the index: the next command has to know it.
    settings = ("--set", f"index.kind={kind}") if kind else ()
    hints = [command("knn", *settings)]
    hints += [command("similar", *settings, "--id", name) for name in stored.index.names[:1]]
    return report.done(OR.join(hints))
