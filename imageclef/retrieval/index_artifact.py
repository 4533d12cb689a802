"""An index on disk: an ordinary artifact, which is written whole and swapped in.

rows.npy        float32 (n_images, n_features), as they are compared: at length 1 for the cosine
images.csv      collection, id, path, digest: the image of each row
skipped.csv     collection, id, path, digest, reason: files that `sync` found invalid
metadata.csv    collection, id and further columns, of images that `sync` added
ann.faiss       the approximate index, for kinds other than flat
index.json      kind, metric, size, features and recall

`index_changes.py` writes it. Paths are relative to the folder of their collection, so that an index can be
moved and copied with its workspace.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imageclef.data.annotations import ImageKey
from imageclef.errors import ArtifactError, ConfigError, MissingArtifact
from imageclef.retrieval.index import Index, IndexedImage
from imageclef.retrieval.kinds import Kind, Recall
from imageclef.retrieval.vectors import Metric
from imageclef.storage.artifacts import Artifact, open_artifact
from imageclef.storage.locks import held
from imageclef.storage.manifests import MANIFEST, read_manifest

if TYPE_CHECKING:
    from imageclef.retrieval.ann import Ann

ROWS, IMAGES, SKIPPED, METADATA, ANN, ABOUT = (
    *("rows.npy", "images.csv", "skipped.csv"),
    *("metadata.csv", "ann.faiss", "index.json"),
)
MADE_BY = "imageclef index"
_ATTEMPTS = 5


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
                f"{folder}: an earlier version of imageclef made this index; move it away, run `{MADE_BY}`"
            )
        artifact = open_artifact(folder, MADE_BY)
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


def change_lock_of(folder: Path) -> Path:
    """What is held while an index is changed: the artifact's own lock is taken within it."""
    return folder.with_name(f"{folder.name}.change")


def _tidy(folder: Path) -> None:
    """Delete the lock that a killed process left; whoever holds it is not waited for."""
    lock = change_lock_of(folder)
    if lock.with_name(f".{lock.name}.lock").exists():
        with suppress(ArtifactError, OSError), held(lock):
            pass


def _is_still(artifact: Artifact) -> bool:
    try:
        return read_manifest(artifact.path, MADE_BY) == artifact.manifest
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
            f"{folder / ABOUT}: {place} {first['msg'].lower()}; run `{MADE_BY}` again"
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
        raise ArtifactError(f"{path}: {len(ann)} rows; expected {about.n_images}; run `{MADE_BY}` again")
    return ann


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: {error}; run `{MADE_BY}` again") from None


def _read_table(path: Path, kind: type[IndexedImage] | type[SkippedFile]) -> list[list[str]]:
    try:
        header, *lines = csv.reader(io.StringIO(_text(path), newline=""))
    except (ValueError, csv.Error):
        header, lines = [], []
    width = len(kind._fields)
    if header != list(kind._fields) or any(len(cells) != width for cells in lines):
        raise ArtifactError(f"{path}: not a table of {', '.join(kind._fields)}; run `{MADE_BY}` again")
    return lines
