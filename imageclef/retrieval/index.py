"""An index of feature rows: search by vectors, and which image each row is of.

The kind `flat` is exact: its results are those of brute force in float64, equally near rows in the order of
the index. The approximate kinds (`imageclef.retrieval.kinds`) are tuned to a recall; the distances that they
return are exact, too. An index never changes; `imageclef.retrieval.index_artifact` writes it to disk, and
writes a new one with rows added or removed.

Reference: J. Johnson, M. Douze, H. Jegou: Billion-scale similarity search with GPUs, 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageclef.data.annotations import ImageKey
from imageclef.errors import DataError
from imageclef.features.feature_set import Matrix
from imageclef.retrieval.exact import ExactSearch
from imageclef.retrieval.kinds import Kind, Recall
from imageclef.retrieval.vectors import Metric, as_distances, prepared

if TYPE_CHECKING:  # faiss takes a second to load, and an exact index does without
    from imageclef.retrieval.ann import Ann, AnnSearch

_QUERY_ROWS = 8192


class IndexedImage(NamedTuple):
    """An image of an index.

    Attributes:
        collection: it belongs to.
        image_id: within the collection.
        path: of its file, POSIX, relative to the folder of the collection; empty if it is not known.
        digest: XXH3-128 of the bytes of the file; empty if it is not known.
    """

    collection: str
    image_id: str
    path: str = ""
    digest: str = ""

    @property
    def key(self) -> ImageKey:
        """Collection and id, which no other row of the index has."""
        return ImageKey(self.collection, self.image_id)


@dataclass(frozen=True)
class Index:
    """Feature rows that can be searched.

    Attributes:
        rows: as they are compared: float32 (n_rows, n_features), at length 1 for the cosine.
        images: the image of each row.
        metric: of the distances.
        kind: of search.
        recall: as measured; None where every row is compared.
        load_ann: reads the approximate index, where there is one.
        device: that exact search runs on: cpu, or a GPU.
    """

    rows: Matrix
    images: Sequence[IndexedImage]
    metric: Metric
    kind: Kind = "flat"
    recall: Recall | None = None
    load_ann: Callable[[], Ann] | None = field(default=None, repr=False)
    device: str = "cpu"

    @classmethod
    def of(cls, features: Matrix, ids: Sequence[str], metric: Metric, device: str = "cpu") -> Index:
        """An exact index in memory.

        Args:
            features: (n_images, n_features).
            ids: the image of each row, none twice.
            metric: `l2` or `cosine`.
            device: to search on.

        Raises:
            DataError: the features are empty or do not fit the ids; a number is not finite.
        """
        check_features(features, len(ids))
        rows = np.empty(features.shape, np.float32)
        for start in range(0, len(features), _QUERY_ROWS):
            block = prepared(features[start : start + _QUERY_ROWS], metric, f"features from row {start}")
            rows[start : start + len(block)] = block
        return cls(rows, [IndexedImage("", image_id) for image_id in ids], metric, device=device)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def n_features(self) -> int:
        """The width of a row."""
        return int(self.rows.shape[1])

    def search(
        self, queries: NDArray[np.float32], k: int, among: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k nearest rows of each query; equally near rows come in the order of the index.

        Args:
            queries: (n_queries, n_features).
            k: at least 1; no more rows are returned than may be.
            among: the rows that may be returned, (n_rows,); None for all.

        Returns:
            Distances and rows, each (n_queries, min(k, rows that may be returned)), the nearest first. For
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
        squares, rows = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
        for start in range(0, len(queries) if k else 0, _QUERY_ROWS):
            block = slice(start, start + _QUERY_ROWS)
            asked = prepared(queries[block], self.metric, f"queries from row {start}")
            squares[block], rows[block] = self._search.nearest(asked, k, among)
        return as_distances(squares, self.metric), rows

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows as they are compared, (n_rows, n_features)."""
        return np.asarray(self.rows[rows])

    @cached_property
    def names(self) -> list[str]:
        """What each image is called: its id, or COLLECTION/ID where several collections have the id."""
        shared = self._rows_of_id
        return [
            one.image_id if len(shared[one.image_id]) == 1 else f"{one.collection}/{one.image_id}"
            for one in self.images
        ]

    def row_of(self, name: str) -> int:
        """Return the row of an image by its id, or by COLLECTION/ID.

        Raises:
            DataError: it is not in the index, or several collections have an image of this id.
        """
        rows = self.rows_named(name)
        if len(rows) > 1:
            options = ", ".join(f"{self.images[row].collection}/{name}" for row in rows)
            raise DataError(f"image '{name}' is in {len(rows)} collections; expected one of {options}")
        if not rows:
            raise DataError(f"image '{name}' is not in the index; expected one of its {len(self)}")
        return rows[0]

    def rows_of(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of images by their names, (n_names,); errors are those of `row_of`."""
        return np.fromiter((self.row_of(name) for name in names), np.int64, count=len(names))

    def rows_named(self, name: str) -> list[int]:
        """Return every row that an id, or COLLECTION/ID, may mean."""
        if found := self._rows_of_id.get(name):
            return found
        collection, _, image_id = name.rpartition("/")
        return [
            row for row in self._rows_of_id.get(image_id, []) if self.images[row].collection == collection
        ]

    @cached_property
    def row_of_key(self) -> dict[ImageKey, int]:
        """The row of each (collection, id)."""
        return {one.key: row for row, one in enumerate(self.images)}

    @cached_property
    def _rows_of_id(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for row, one in enumerate(self.images):
            rows.setdefault(one.image_id, []).append(row)
        return rows

    @cached_property
    def _search(self) -> ExactSearch | AnnSearch:
        exact = ExactSearch(self.rows, self.metric, self.device)
        if self.load_ann is None or self.recall is None:
            return exact
        from imageclef.retrieval.ann import AnnSearch

        return AnnSearch(self.rows, self.metric, self.load_ann(), self.recall.effort, exact)


def check_features(features: Matrix, n_ids: int) -> None:
    """Check that features can be indexed.

    Raises:
        DataError: they are empty, or not one row for each id.
    """
    if len(features.shape) != 2 or 0 in features.shape or n_ids != len(features):
        raise DataError(
            f"features of shape {features.shape} with {n_ids} ids cannot be indexed; "
            "expected (n_images, n_features) and n ids"
        )
