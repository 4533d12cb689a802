"""Sync: bring the index up to date with a folder; the cost follows what has changed in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imageclef.config import CollectionSettings, Config
from imageclef.data.annotations import ImageKey
from imageclef.data.collection import FoundImages, ImageFile, Refusal, read_groups
from imageclef.images.digests import DigestCache, Digests
from imageclef.progress import Advance, Reporter, Silent
from imageclef.retrieval.index import IndexedImage
from imageclef.retrieval.index_artifact import Metadata, SkippedFile, StoredIndex
from imageclef.retrieval.index_changes import Change, change_index
from imageclef.stages.found import found_images
from imageclef.stages.refused import refused_in_words
from imageclef.stages.report import Report, command, count_of, name_some, shown
from imageclef.workspace import TRAIN, Workspace

if TYPE_CHECKING:
    from imageclef.features.encoding import Encoder

_BATCH = 4096
"""Files that are encoded before the index is written: what a kill can cost."""


@dataclass(frozen=True)
class _Changes:
    """How a folder differs from the index.

    Attributes:
        removed: ids of the index whose file is gone.
        changed: files that the index does not have, or has with other bytes.
        others: further files with the same ids, to be tried where those are invalid.
        unchanged: the number of other files.
        kept: indexed files that stay although another file has the same id.
        moved: indexed images whose file has another path now.
    """

    removed: list[str]
    changed: list[IndexedImage]
    others: Mapping[str, list[str]]
    unchanged: int
    kept: list[str]
    moved: list[IndexedImage]


@dataclass
class _Outcome:
    """What became of the changed files."""

    added: int = 0
    replaced: int = 0
    invalid: list[Refusal] = field(default_factory=list)


def sync(config: Config, folder: Path | None = None, reporter: Reporter | None = None) -> Report:
    """Encode and add new files, remove vanished ones, replace changed ones; touch nothing else.

    A file is known by its path and the digest of its bytes, whatever its time of change. The index is written
    after every few thousand files, so that a kill costs no more than these.

    Args:
        config: names the index and its learners.
        folder: searched with its subfolders; by default that of the training collection.
        reporter: told about the progress.

    Raises:
        MissingArtifact: there is no index, or no learner.
        ConfigError: the index is of other features than the configured ones, or of a kind that cannot remove.
        DataError: there is no such folder, or no image in it.
    """
    workspace, report, reporter = Workspace(config), Report("sync"), reporter or Silent()
    stored = workspace.index()
    stored.require_features(workspace.features_identity, workspace.features_label)
    train = config.collection(TRAIN)
    root, listing = (folder, None) if folder else (train.images, train.listing)
    collection = workspace.collection_in(root)
    found = found_images(config, root, listing)
    changes = _changes(workspace, stored, collection, root, found, reporter)
    report.read.append(f"{root}: {count_of(len(found.images), 'image')}")
    if changes.unchanged:
        report.skipped.append(f"{count_of(changes.unchanged, 'image')}: unchanged")
    if changes.removed or changes.moved:
        change_index(workspace.index_path, lambda before: _without(before, collection, changes))
    outcome = _Outcome()
    if changes.changed:
        metadata = _metadata(config, collection, found)
        outcome = _encode(workspace, root, changes, metadata, reporter)
    report.figures = {
        "added": outcome.added,
        "replaced": outcome.replaced,
        "removed": len(changes.removed),
        "refused": len(outcome.invalid) + len(found.refused),
    }
    if every := [*outcome.invalid, *found.refused]:
        report.notes.append(refused_in_words(every))
    if changes.kept:
        report.notes.append(f"kept the indexed files, others have the same ids: {name_some(changes.kept)}")
    if workspace.index().digest != stored.digest:
        report.wrote.append(shown(workspace.index_path))
    return report.done(_next(workspace.index()))


def _next(stored: StoredIndex) -> str:
    """A query that can be typed as it is."""
    return command("similar", "--id", stored.index.names[0]) if stored.index.names else ""


def _changes(
    workspace: Workspace,
    stored: StoredIndex,
    collection: str,
    root: Path,
    found: FoundImages,
    reporter: Reporter,
) -> _Changes:
    """Compare the files of a folder with what the index was made of, by their bytes."""
    known = {one.image_id: one for one in stored.index.images if one.collection == collection}
    skipped = {(one.path, one.digest) for one in stored.skipped if one.collection == collection}
    others: dict[str, list[str]] = {}
    for refusal in found.refused:
        if refusal.kind == "id twice":
            others.setdefault(refusal.image_id, []).append(refusal.path)
    cache = workspace.index_path.with_name(f".{workspace.index_path.name}.digests.json")
    digests, changed, kept, moved, unchanged = DigestCache.load(cache), [], [], [], 0
    with reporter.progress("comparing", len(found.images), "files") as advance:
        for image in found.images:
            before = known.get(image.image_id)
            path = image.path
            if before and before.path != path and before.path in others.get(image.image_id, ()):
                # The indexed file is still there: another one of the same id does not take its place.
                others[image.image_id].append(path)
                path = before.path
                kept.append(path)
            now = IndexedImage(collection, image.image_id, path, digests.of(root, path))
            if before and now.digest and before.digest == now.digest:
                unchanged += 1
                if before.path != now.path:
                    moved.append(now)
            elif (now.path, now.digest) in skipped and not others.get(image.image_id):
                unchanged += 1
            else:
                changed.append(now)
            advance(1)
    digests.save(cache)
    present = {image.image_id for image in found.images}
    removed = [image_id for image_id in known if image_id not in present]
    return _Changes(removed, changed, others, unchanged, kept, moved)


def _without(before: StoredIndex, collection: str, changes: _Changes) -> Change:
    """Leave out what is gone; rows of files that were moved are added again under their new paths."""
    moved = {one.image_id: one for one in changes.moved}
    gone = {*changes.removed, *moved}
    images = before.index.images
    keep = [row for row, one in enumerate(images) if one.collection != collection or one.image_id not in gone]
    again = [row for row, one in enumerate(images) if one.collection == collection and one.image_id in moved]
    present = {one.key for one in moved.values()}
    return Change(
        np.array(keep, dtype=np.int64),
        before.index.vectors(np.array(again, dtype=np.int64)),
        [moved[images[row].image_id] for row in again],
        skipped=[one for one in before.skipped if one.collection != collection or one.image_id not in gone],
        metadata={key: line for key, line in before.metadata.items() if key in present},
    )


def _encode(
    workspace: Workspace, root: Path, changes: _Changes, metadata: Metadata, reporter: Reporter
) -> _Outcome:
    """Encode and add files, a batch at a time."""
    encoder, outcome = workspace.encoder(), _Outcome()
    with reporter.progress("adding", len(changes.changed), "images") as advance:
        for start in range(0, len(changes.changed), _BATCH):
            batch = changes.changed[start : start + _BATCH]
            images, rows, invalid = _encode_batch(workspace, encoder, root, batch, changes.others, advance)
            skipped = _skipped(batch, invalid)

            def change(
                before: StoredIndex,
                images: Sequence[IndexedImage] = images,
                rows: NDArray[np.float32] = rows,
                skipped: Sequence[SkippedFile] = skipped,
            ) -> Change:
                replaced = sum(one.key in before.index.row_of_key for one in images)
                outcome.replaced += replaced
                outcome.added += len(images) - replaced
                return _replacing(before, images, rows, skipped, metadata)

            change_index(workspace.index_path, change)
            outcome.invalid += invalid
    return outcome


def _encode_batch(
    workspace: Workspace,
    encoder: Encoder,
    root: Path,
    batch: Sequence[IndexedImage],
    others: Mapping[str, list[str]],
    advance: Advance,
) -> tuple[list[IndexedImage], NDArray[np.float32], list[Refusal]]:
    """Encode files; where one is invalid, further files of the same id are tried."""
    workers, digests = workspace.config.ingest.workers, Digests()
    files = [ImageFile(one.image_id, one.path) for one in batch]
    ids, rows, invalid = encoder.encode_all(root, files, workers, advance)
    by_id = {one.image_id: one for one in batch}
    images, blocks = [by_id[image_id] for image_id in ids], [rows] if ids else []
    for refusal in invalid:
        for path in others.get(refusal.image_id, ()):
            again = [ImageFile(refusal.image_id, path)]
            found, rows, _ = encoder.encode_all(root, again, 1, lambda n: None)
            if found:
                collection = by_id[refusal.image_id].collection
                images.append(IndexedImage(collection, refusal.image_id, path, digests.of(root / path)))
                blocks.append(rows)
                break
    return images, np.concatenate(blocks) if blocks else np.empty((0, 0), np.float32), invalid


def _skipped(batch: Sequence[IndexedImage], invalid: Sequence[Refusal]) -> list[SkippedFile]:
    reasons = {one.image_id: str(one) for one in invalid}
    return [SkippedFile(*one, reason=reasons[one.image_id]) for one in batch if one.image_id in reasons]


def _replacing(
    before: StoredIndex,
    images: Sequence[IndexedImage],
    rows: NDArray[np.float32],
    skipped: Sequence[SkippedFile],
    metadata: Metadata,
) -> Change:
    """Add images in the place of rows that they, or invalid files, replace."""
    added = {one.key for one in images}
    gone = added | {ImageKey(one.collection, one.image_id) for one in skipped}
    keep = [row for row, one in enumerate(before.index.images) if one.key not in gone]
    earlier = [one for one in before.skipped if (one.collection, one.image_id) not in gone]
    known = {key: line for key, line in metadata.items() if key in added}
    return Change(np.array(keep, dtype=np.int64), rows, images, skipped=[*earlier, *skipped], metadata=known)


def _metadata(config: Config, collection: str, found: FoundImages) -> Metadata:
    """Groups and further columns of a folder as they are now: from its table, or from the DICOM headers."""
    settings = config.collections.get(collection) or CollectionSettings(images=Path())
    if settings.groups is not None:
        table = read_groups(settings.groups).metadata
    elif found.dicom is not None and found.dicom.images:
        table = found.dicom.metadata()
    else:
        return {}
    lines = zip(table.index, table.to_dict("records"), strict=True)
    return {
        ImageKey(collection, str(image_id)): {str(name): str(value) for name, value in line.items() if value}
        for image_id, line in lines
    }
