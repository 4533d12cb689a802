"""An index of feature rows that can be searched, added to, removed from, saved and loaded.

The kind `flat` is exact: its answer is that of brute force in float64, equally near rows in the order of the
index. The approximate kinds (`imageclef.retrieval.kinds`) are tuned to a recall that is asked for; the
distances that they answer with are exact too.

Reference: J. Johnson, M. Douze, H. Jegou: Billion-scale similarity search with GPUs, 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import ArtifactError, ConfigError, DataError
from imageclef.features.feature_set import Matrix
from imageclef.retrieval import files, stored
from imageclef.retrieval.contents import Contents
from imageclef.retrieval.growth import added, compacted, merged, settled
from imageclef.retrieval.kinds import Kind, check_can_remove, check_kind
from imageclef.retrieval.recall import Recall
from imageclef.retrieval.vectors import Metric, as_distances
from imageclef.retrieval.view import View
from imageclef.retrieval.writing import write


class Index:
    """The rows of a feature matrix, ready to be searched.

    Rows are numbered from 0 in the order in which they were added, without those that were removed.
    """

    def __init__(self, contents: Contents, device: str = "cpu") -> None:
        self._contents: Contents = contents
        self._device = device
        self._view = View(contents, device)

    def __len__(self) -> int:
        return self._contents.n_rows - len(self._contents.dead)

    @property
    def metric(self) -> Metric:
        """What `search` measures."""
        return self._contents.metric

    @property
    def kind(self) -> Kind:
        """How it is searched."""
        return self._contents.kind

    @property
    def n_features(self) -> int:
        """The width of a row."""
        return self._contents.n_features

    @property
    def made_with(self) -> str:
        """Names the features that it was built with; empty if nobody said."""
        return self._contents.made_with

    @property
    def recall(self) -> Recall | None:
        """What was asked and what was measured; None for `flat`, which finds everything."""
        return self._contents.recall

    @property
    def ids(self) -> list[str]:
        """The image of each row."""
        return self._view.ids

    @classmethod
    def build(
        cls,
        features: Matrix,
        ids: Sequence[str],
        metric: Metric,
        device: str = "cpu",
        progress: Callable[[int], None] | None = None,
        *,
        kind: Kind = "flat",
        recall: float = 0.95,
        made_with: str = "",
    ) -> Index:
        """Index every row of a matrix.

        Args:
            features: (n_images, n_features), an array or a memory map, which is read in blocks. Float16 is
                held as float16, all else as float32.
            ids: the image of each row, none twice.
            metric: `l2`, or `cosine`, for which rows are compared at length 1 (a row of zeros stays).
            device: where to search; `cuda` means the GPU where faiss sees one, and otherwise torch's.
                Approximate kinds are searched on the CPU.
            progress: told how many rows were added.
            kind: exact, or one of the approximate kinds.
            recall: what an approximate kind is tuned to, above 0 and at most 1; see `recall` for what it got.
            made_with: names the features, such as the digest of their learner.

        Raises:
            DataError: the matrix is empty, has a number that is not finite, or does not fit the ids; an id
                appears twice.
            ConfigError: the kind cannot be, or the recall is out of range.
        """
        if len(features.shape) != 2 or 0 in features.shape or len(ids) != len(features):
            shape = f"shape {features.shape} with {len(ids)} ids"
            raise DataError(
                f"features of {shape} cannot be indexed; expected (n_images, n_features) and n ids"
            )
        check_kind(kind, len(features))
        if not 0 < recall <= 1:
            raise ConfigError(f"recall = {recall}; expected above 0 and at most 1")
        half = features[slice(0, 1)].dtype == np.float16
        dtype = np.dtype(np.float16 if half else np.float32)
        empty = Contents(kind, metric, features.shape[1], dtype, made_with, ())
        contents = settled(added(empty, features, ids, progress), recall)
        return cls(contents, device)

    def add(self, features: Matrix, ids: Sequence[str], made_with: str = "") -> None:
        """Append rows.

        Raises:
            DataError: an id is in the index already or appears twice; the features do not fit.
            ConfigError: they are of another learner.
        """
        self.require(made_with)
        if len(features.shape) != 2 or features.shape != (len(ids), self.n_features):
            raise DataError(
                f"features of shape {features.shape} with {len(ids)} ids cannot be added; "
                f"expected (n, {self.n_features}) and n ids"
            )
        known = self._view.row_of
        if present := next((image_id for image_id in ids if image_id in known), None):
            raise DataError(f"image '{present}' is in the index already; expected new ids, or replace it")
        self._change(settled(added(self._contents, features, ids)))

    def remove(self, ids: Sequence[str]) -> None:
        """Take rows out.

        Raises:
            DataError: an id is not in the index.
            ConfigError: the kind cannot remove.
        """
        check_can_remove(self.kind)
        rows = self.rows_of(ids)
        self._change(self._contents.without(self._view.numbers(rows)))

    def replace(self, features: Matrix, ids: Sequence[str], made_with: str = "") -> None:
        """Give images other rows; they come last in the order of the index.

        Raises:
            DataError: an id is not in the index; the features do not fit.
            ConfigError: the kind cannot remove, or the features are of another learner.
        """
        before = self._contents
        self.remove(ids)
        try:
            self.add(features, ids, made_with)
        except BaseException:
            self._change(before)
            raise

    def search(
        self, queries: NDArray[np.float32], k: int, among: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k nearest rows of each query; rows that are equally near come in the order of the index.

        Args:
            queries: (n_queries, n_features).
            k: at least 1; no more than there are rows are returned.
            among: the rows that may be answered, (n_images,); None for all.

        Returns:
            Distances and rows, each (n_queries, min(k, rows that may be answered)), the nearest first. For
            `l2` the distance is Euclidean (not squared) and rises; for `cosine` it is the similarity, from
            1 to -1, and falls; a vector of zeros has similarity 0 to everything.

        Raises:
            DataError: the queries or the mask do not fit the index, or k is less than 1.
        """
        if k < 1:
            raise DataError(f"k is {k}; expected at least 1")
        if queries.ndim != 2 or queries.shape[1] != self.n_features:
            raise DataError(f"queries of shape {queries.shape}; expected (n_queries, {self.n_features})")
        if among is not None and among.shape != (len(self),):
            raise DataError(f"a mask of shape {among.shape} over rows; expected ({len(self)},)")
        k = min(k, len(self) if among is None else int(np.count_nonzero(among)))
        gaps, rows = self._view.nearest(queries, k, among)
        return as_distances(gaps, self.metric), rows

    def rows_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The rows of these images, (n_ids,).

        Raises:
            DataError: one is not in the index.
        """
        try:
            return np.fromiter((self._view.row_of[image_id] for image_id in ids), np.int64, count=len(ids))
        except KeyError as missing:
            raise DataError(f"image {missing} is not in the index; expected one of its {len(self)}") from None

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The features of rows as they are compared, at length 1 for the cosine, (n_rows, n_features)."""
        return self._view.rows.take(self._view.numbers(rows))

    def require(self, made_with: str) -> None:
        """Refuse features that are not those of the index; where either has no name, nothing is known.

        Raises:
            ConfigError: they are others.
        """
        if made_with and self.made_with and made_with != self.made_with:
            raise ConfigError(
                f"the index is of the features {self.made_with}, these are {made_with}; "
                "expected the same learner, or build the index again"
            )

    def attach(self, name: str, data: bytes) -> None:
        """Keep bytes with the index, saved at the same instant, under a plain name such as `files.csv`."""
        if Path(name).name != name:
            raise ConfigError(f"attached name '{name}'; expected a plain name, such as files.csv")
        self._contents = replace(self._contents, attached={**self._contents.attached, name: data})

    def attached(self, name: str) -> bytes | None:
        """The bytes that were attached under a name.

        Raises:
            ArtifactError: the index on disk has been changed since it was opened.
        """
        data = self._contents.attached.get(name)
        try:
            return data.read_bytes() if isinstance(data, Path) else data
        except FileNotFoundError:
            raise ArtifactError(f"{name}: the index was changed meanwhile; expected another try") from None

    def save(self, folder: Path) -> None:
        """Put the index in the place of what is in a folder: a kill at any instant leaves the old or the new.

        Where the index came from this folder, only what was changed is written.

        Raises:
            ArtifactError: another process is changing the folder, or has changed it since.
        """
        with files.locked(folder):
            self._save(folder)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Index:
        """Open what `save` wrote; rows are memory-mapped.

        Raises:
            MissingArtifact: there is none.
            ArtifactError: a file is missing, damaged, or does not fit the others.
        """
        return cls(stored.read(folder), device)

    @classmethod
    @contextmanager
    def changing(cls, folder: Path) -> Iterator[Index]:
        """Load an index, have it changed, and save it where no error came up; one process at a time.

        Raises:
            MissingArtifact: there is none.
            ArtifactError: it is damaged, or another process is changing it.
        """
        stored.read_about(folder)
        with files.locked(folder):
            index = cls.load(folder)
            before = index._contents
            yield index
            if index._contents is not before:
                index._save(folder)

    def _save(self, folder: Path) -> None:
        # In two steps: the first refills the structure in memory, whatever becomes of the second.
        self._change(merged(compacted(self._contents)))
        self._change(write(folder, self._contents))

    def _change(self, contents: Contents) -> None:
        self._contents = contents
        self._view = View(contents, self._device)
