"""Build an index, add to it, remove from it: each writes a whole new artifact, one process at a time.

The new one is written from the rows that stay and the new ones. Who has the earlier one open keeps its mapped
files.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imageclef.data.annotations import ImageKey
from imageclef.errors import ArtifactError, DataError
from imageclef.features.feature_set import DamagedNpy, Matrix, open_npy
from imageclef.retrieval.index import IndexedImage
from imageclef.retrieval.index_artifact import (
    ABOUT,
    ANN,
    IMAGES,
    METADATA,
    ROWS,
    SKIPPED,
    About,
    Metadata,
    SkippedFile,
    StoredIndex,
    change_lock_of,
    open_index,
)
from imageclef.retrieval.kinds import Recall, check_can_remove, check_kind, enough_rows
from imageclef.retrieval.vectors import prepared
from imageclef.storage.artifacts import Recipe, building
from imageclef.storage.disk import writing_into
from imageclef.storage.locks import held

_BLOCK_ROWS = 8192
_STALE = 0.1
"""Share of the rows that may change before the recall is measured again."""


@dataclass(frozen=True)
class Change:
    """What becomes of an index.

    Attributes:
        keep: rows that stay, rising; None keeps all.
        features: of the images that are added, (n_added, n_features).
        images: that are added.
        sources: digests of the features of collections that are added.
        skipped: files that could not be read; None keeps the list.
        metadata: of images that are added.
    """

    keep: NDArray[np.int64] | None = None
    features: Matrix = field(default_factory=lambda: np.empty((0, 0), np.float32))
    images: Sequence[IndexedImage] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    skipped: Sequence[SkippedFile] | None = None
    metadata: Metadata = field(default_factory=dict)


def build_index(
    folder: Path,
    features: Matrix,
    images: Sequence[IndexedImage],
    about: About,
    progress: Callable[[int], None] | None = None,
    force: bool = False,
    skipped: Sequence[SkippedFile] = (),
) -> StoredIndex:
    """Write an index of feature rows in the place of the one that is there.

    Args:
        folder: of the index.
        features: (n_images, n_features), read in blocks.
        images: of the rows.
        about: what it is to be; sizes and recall are filled in.
        progress: told how many rows were written.
        force: whether an index that was changed after it was written may be replaced.
        skipped: files of the collection that could not be read.

    Raises:
        ConfigError: the kind cannot be built over so few rows.
        DataError: a number is not finite, or an image appears twice.
        ArtifactError: another process is changing the index, or the disk does not take it.
    """
    check_kind(about.kind, len(images))
    with _changing(folder):
        writing = _Writing(about, None, Change(features=features, images=images, skipped=skipped), progress)
        return writing.publish(folder, about.sources, force)


def change_index(folder: Path, change: Callable[[StoredIndex], Change | None]) -> StoredIndex:
    """Write the changed index in the place of the one that is there, one process at a time.

    Args:
        folder: of the index.
        change: told the index, says what is to be changed; None for nothing.

    Returns:
        The index as it is then.

    Raises:
        MissingArtifact: there is no index.
        ConfigError: the kind cannot remove rows.
        DataError: an image is in the index already, or a number is not finite.
        ArtifactError: another process is changing the index, or the disk does not take it.
    """
    open_index(folder)
    with _changing(folder):
        before = open_index(folder)
        wanted = change(before)
        if wanted is None:
            return before
        if wanted.keep is not None and len(wanted.keep) < len(before.index):
            check_can_remove(before.about.kind)
        sources = {**before.about.sources, **wanted.sources}
        about = before.about.model_copy(update={"sources": sources})
        # The image table names the bytes of every file that goes in.
        inputs = {"before": before.digest, **wanted.sources}
        return _Writing(about, before, wanted).publish(folder, inputs)


class _Writing:
    """One new artifact of an index."""

    def __init__(
        self,
        about: About,
        before: StoredIndex | None,
        change: Change,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._before, self._change, self._progress = before, change, progress
        n_before = len(before.index) if before else 0
        self._keep = np.arange(n_before) if change.keep is None else change.keep
        kept = [before.index.images[row] for row in self._keep.tolist()] if before else []
        self._images = [*kept, *change.images]
        width = about.n_features if before else change.features.shape[1]
        _check_added(change, width, self._images)
        self._about = about.model_copy(update={"n_images": len(self._images), "n_features": width})

    def publish(self, folder: Path, inputs: Mapping[str, str], force: bool = False) -> StoredIndex:
        about = self._about
        settings = {"metric": about.metric, "kind": about.kind, "recall": about.asked}
        recipe = Recipe("index", settings, inputs)
        with building(folder, recipe, needs=4 * about.n_images * about.n_features, force=force) as partial:
            rows = self._write_rows(partial / ROWS)
            _write_table(partial / IMAGES, IndexedImage, self._images)
            skipped = self._change.skipped
            kept = (self._before.skipped if self._before else []) if skipped is None else skipped
            _write_table(partial / SKIPPED, SkippedFile, kept)
            _write_metadata(partial / METADATA, self._metadata())
            recall = self._write_ann(partial / ANN, rows)
            text = about.model_copy(update={"recall": recall}).model_dump_json(indent=1)
            (partial / ABOUT).write_text(text + "\n", encoding="utf-8")
        return open_index(folder)

    def _write_rows(self, path: Path) -> NDArray[np.float32]:
        shape = (self._about.n_images, self._about.n_features)
        with path.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for block in self._blocks():
                file.write(np.ascontiguousarray(block, dtype="<f4").data)
        return _map_rows(path)

    def _blocks(self) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(self._keep), _BLOCK_ROWS):
            if self._before is not None:
                yield self._before.index.rows[self._keep[start : start + _BLOCK_ROWS]]
        features = self._change.features
        for start in range(0, len(self._change.images), _BLOCK_ROWS):
            block = features[start : start + _BLOCK_ROWS]
            yield prepared(block, self._about.metric, f"features from row {start}")
            if self._progress is not None:
                self._progress(len(block))

    def _metadata(self) -> Metadata:
        known = {**(self._before.metadata if self._before else {}), **self._change.metadata}
        present = {one.key for one in self._images}
        return {key: columns for key, columns in known.items() if key in present}

    def _write_ann(self, path: Path, rows: NDArray[np.float32]) -> Recall | None:
        path.unlink(missing_ok=True)
        about = self._about
        if about.kind == "flat" or not enough_rows(about.kind, len(rows)):
            return None
        from imageclef.retrieval.ann import Ann
        from imageclef.retrieval.recall import tuned

        before, recall = self._before, about.recall
        if before is not None and before.index.load_ann is not None:
            ann = before.index.load_ann()
            if len(self._keep) < len(before.index):
                ann.empty()
        else:
            ann, recall = Ann.train(about.kind, about.metric, rows, seed=0), None
        ann.extend(rows)
        ann.write(path)
        if recall is None or abs(len(rows) - recall.n_rows) > _STALE * recall.n_rows:
            recall = tuned(rows, about.metric, ann, about.asked, seed=0)
        return recall


def _check_added(change: Change, width: int, images: Sequence[IndexedImage]) -> None:
    shape = change.features.shape
    if len(change.images) and (len(shape) != 2 or shape != (len(change.images), width) or not width):
        raise DataError(
            f"features of shape {shape} with {len(change.images)} images cannot be indexed; "
            f"expected ({len(change.images)}, {width or 'n_features'})"
        )
    seen: set[ImageKey] = set()
    for one in images:
        if not one.image_id or one.key in seen:
            what = f"image '{one.image_id}' of collection '{one.collection}'"
            raise DataError(f"{what} is in the index already; expected every image once, each with an id")
        seen.add(one.key)


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Be the only process that changes an index; readers are not held up."""
    with writing_into(folder.parent, folder.name):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with held(change_lock_of(folder)):
            yield


def _write_table(
    path: Path, kind: type[IndexedImage] | type[SkippedFile], lines: Iterable[Sequence[str]]
) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([kind._fields, *lines])


def _write_metadata(path: Path, metadata: Metadata) -> None:
    columns = list(dict.fromkeys(name for line in metadata.values() for name in line))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["collection", "id", *columns], restval="", lineterminator="\n")
        writer.writeheader()
        for (collection, image_id), line in metadata.items():
            writer.writerow({"collection": collection, "id": image_id, **line})


def _map_rows(path: Path) -> NDArray[np.float32]:
    try:
        rows = open_npy(path)
    except (FileNotFoundError, DamagedNpy) as error:
        raise ArtifactError(f"{path}: {error}; expected the rows of an index") from None
    if rows.ndim != 2 or rows.dtype != np.float32:
        raise ArtifactError(f"{path}: {rows.dtype} of shape {rows.shape}; expected float32 (n, d)")
    return rows
