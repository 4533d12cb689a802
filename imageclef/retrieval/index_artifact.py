"""An index on disk: an ordinary artifact, which is written whole and swapped in.

rows.npy        float32 (n_images, n_features), as they are compared: at length 1 for the cosine
images.csv      collection, id, path, digest: the image of each row
skipped.csv     collection, id, path, digest, reason: files that `sync` found invalid
metadata.csv    collection, id and further columns, of images that `sync` added
ann.faiss       the approximate index, for kinds other than flat
index.json      kind, metric, size, features and recall

Adding and removing write a new artifact from the rows that stay and the new ones, one process at a time. Who
has the earlier one open keeps its mapped files. Paths are relative to the folder of their collection, so that
an index can be moved and copied with its workspace.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imageclef.data.annotations import ImageKey
from imageclef.errors import ArtifactError, ConfigError, DataError, MissingArtifact
from imageclef.features.feature_set import DamagedNpy, Matrix, open_npy
from imageclef.retrieval.index import Index, IndexedImage
from imageclef.retrieval.kinds import Kind, Recall, check_can_remove, check_kind, enough_rows
from imageclef.retrieval.vectors import Metric, prepared
from imageclef.storage.artifacts import Artifact, Recipe, building, open_artifact
from imageclef.storage.disk import writing_into
from imageclef.storage.locks import held
from imageclef.storage.manifests import MANIFEST, read_manifest

if TYPE_CHECKING:
    from imageclef.retrieval.ann import Ann

ROWS, IMAGES, SKIPPED, METADATA, ANN, ABOUT = (
    *("rows.npy", "images.csv", "skipped.csv"),
    *("metadata.csv", "ann.faiss", "index.json"),
)
_MADE_BY = "imageclef index"
_BLOCK_ROWS = 8192
_ATTEMPTS = 5
_STALE = 0.1
"""Share of the rows that may change before the recall is measured again."""


class About(BaseModel):
    """What an index is.

    Attributes:
        kind: of search.
        metric: of the distances.
        n_images: rows.
        n_features: the width of a row.
        features: digest of what makes the features; queries must have the same.
        features_label: their name.
        sources: digest of the features that each collection was added from.
        asked: the recall that an approximate kind is tuned to.
        recall: as measured; None where every row is compared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Kind
    metric: Metric
    n_images: int = Field(ge=0)
    n_features: int = Field(ge=1)
    features: str
    features_label: str
    sources: dict[str, str]
    asked: float = Field(gt=0, le=1)
    recall: Recall | None = None


class SkippedFile(NamedTuple):
    """A file that `sync` could not read; it is tried again when its bytes have changed."""

    collection: str
    image_id: str
    path: str
    digest: str
    reason: str


Metadata = Mapping[ImageKey, Mapping[str, str]]
"""Columns and values by (collection, id)."""


@dataclass(frozen=True)
class StoredIndex:
    """An index that was opened from its artifact.

    Attributes:
        artifact: the folder and its manifest.
        about: what the index is.
        index: to be searched.
    """

    artifact: Artifact
    about: About
    index: Index

    @property
    def digest(self) -> str:
        """Changes with every change of the index."""
        return self.artifact.digest

    @cached_property
    def skipped(self) -> list[SkippedFile]:
        """Files that could not be read."""
        return [SkippedFile(*cells) for cells in _read_table(self.artifact.path / SKIPPED, SkippedFile)]

    @cached_property
    def metadata(self) -> Metadata:
        """Metadata of images that `sync` added."""
        path = self.artifact.path / METADATA
        found = {}
        for cells in csv.DictReader(io.StringIO(_text(path), newline="")):
            key = ImageKey(cells.pop("collection", ""), cells.pop("id", ""))
            found[key] = {name: value for name, value in cells.items() if name and value}
        return found

    def require_features(self, digest: str, label: str) -> None:
        """Check that queries are of the features of the index.

        Raises:
            ConfigError: they are of others.
        """
        if digest != self.about.features:
            raise ConfigError(
                f"the index is of the features {self.about.features_label} ({self.about.features[:16]}), "
                f"these are {label} ({digest[:16]}); expected the same, or run `imageclef index` again"
            )

    def facts(self) -> dict[str, object]:
        """Describe the index as JSON values, for a report."""
        about = self.about.model_dump(mode="json", exclude={"sources", "asked"})
        size = sum(facts["bytes"] for facts in self.artifact.manifest["files"].values())
        return {**about, "bytes": size, "digest": self.digest}


def open_index(folder: Path, device: str = "cpu") -> StoredIndex:
    """Open an index; its rows are memory-mapped.

    Raises:
        MissingArtifact: there is none.
        ArtifactError: it is damaged, or an earlier version of imageclef made it.
    """
    _tidy(folder)
    for _ in range(_ATTEMPTS):
        if not (folder / MANIFEST).exists() and (folder / ABOUT).exists():
            raise ArtifactError(
                f"{folder}: an earlier version of imageclef made this index; move it away, run `{_MADE_BY}`"
            )
        artifact = open_artifact(folder, _MADE_BY)
        try:
            opened = _opened(artifact, device)
        except ArtifactError:
            # Another process may have swapped in a new index in the meantime.
            if _is_still(artifact):
                raise
            continue
        if _is_still(artifact):
            return opened
    raise ArtifactError(f"{folder}: another process keeps changing this index; try again")


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
        with held(_change_of(folder)):
            yield


def _change_of(folder: Path) -> Path:
    """What is held while an index is changed: the artifact's own lock is taken within it."""
    return folder.with_name(f"{folder.name}.change")


def _tidy(folder: Path) -> None:
    """Delete the lock that a killed process left; whoever holds it is not waited for."""
    lock = _change_of(folder)
    if lock.with_name(f".{lock.name}.lock").exists():
        with suppress(ArtifactError, OSError), held(lock):
            pass


def _is_still(artifact: Artifact) -> bool:
    try:
        return read_manifest(artifact.path, _MADE_BY) == artifact.manifest
    except (ArtifactError, MissingArtifact):
        return not (artifact.path / MANIFEST).exists()


def _opened(artifact: Artifact, device: str) -> StoredIndex:
    folder = artifact.path
    try:
        about = About.model_validate_json(_text(folder / ABOUT))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ArtifactError(
            f"{folder / ABOUT}: {place} {first['msg'].lower()}; run `{_MADE_BY}` again"
        ) from None
    rows = artifact.array(ROWS) if about.n_images else np.empty((0, about.n_features), np.float32)
    images = [IndexedImage(*cells) for cells in _read_table(folder / IMAGES, IndexedImage)]
    if rows.shape != (about.n_images, about.n_features) or len(images) != about.n_images:
        raise ArtifactError(
            f"{folder / ROWS}: shape {rows.shape} for {len(images)} images; "
            f"expected {(about.n_images, about.n_features)}"
        )
    load_ann = (lambda: _read_ann(about, folder / ANN)) if about.recall is not None else None
    index = Index(rows, images, about.metric, about.kind, about.recall, load_ann, device)
    return StoredIndex(artifact, about, index)


def _read_ann(about: About, path: Path) -> Ann:
    from imageclef.retrieval.ann import Ann

    ann = Ann.read(about.kind, path)
    if len(ann) != about.n_images:
        raise ArtifactError(f"{path}: {len(ann)} rows; expected {about.n_images}; run `{_MADE_BY}` again")
    return ann


def _map_rows(path: Path) -> NDArray[np.float32]:
    try:
        rows = open_npy(path)
    except (FileNotFoundError, DamagedNpy) as error:
        raise ArtifactError(f"{path}: {error}; expected the rows of an index") from None
    if rows.ndim != 2 or rows.dtype != np.float32:
        raise ArtifactError(f"{path}: {rows.dtype} of shape {rows.shape}; expected float32 (n, d)")
    return rows


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: {error}; run `{_MADE_BY}` again") from None


def _read_table(path: Path, kind: type[IndexedImage] | type[SkippedFile]) -> list[list[str]]:
    try:
        header, *lines = csv.reader(io.StringIO(_text(path), newline=""))
    except (ValueError, csv.Error):
        header, lines = [], []
    width = len(kind._fields)
    if header != list(kind._fields) or any(len(cells) != width for cells in lines):
        raise ArtifactError(f"{path}: not a table of {', '.join(kind._fields)}; run `{_MADE_BY}` again")
    return lines


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
