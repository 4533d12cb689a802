"""Questions to an index: by one image or several, with or without these images in the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import ConfigError, DataError
from imageclef.retrieval.index import Index
from imageclef.retrieval.vectors import as_gaps, prepared

Join = Literal["mean", "best"]


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        vectors: of the query images, (n_queries, n_features), at least one.
        join: `mean` searches near the mean of the images (for the cosine, of their vectors at length 1);
            `best` takes each row as near as it is to the nearest of the images.
        leave_out: images of the index that are not answered, such as the queries themselves.
        duplicates: whether rows at distance `same` or less from a query are answered.
        same: that distance; for the cosine 1 - similarity.
    """

    vectors: NDArray[np.float32]
    join: Join = "mean"
    leave_out: tuple[str, ...] = ()
    duplicates: bool = True
    same: float = 0.0


@dataclass(frozen=True)
class Answer:
    """A row that was found.

    Attributes:
        rank: from 1.
        image_id: of the row.
        row: of the index.
        distance: as `Index.search` returns it: Euclidean, or the cosine similarity.
    """

    rank: int
    image_id: str
    row: int
    distance: float


def of_images(index: Index, ids: Sequence[str], join: Join = "mean", duplicates: bool = True) -> Question:
    """A question by images of the index, which are not in its answer.

    Raises:
        DataError: an image is not in the index.
    """
    return Question(index.vectors(index.rows_of(ids)), join, tuple(ids), duplicates)


def ask(
    index: Index, question: Question, k: int, among: NDArray[np.bool_] | None = None
) -> tuple[Answer, ...]:
    """The k rows nearest to the query images, or fewer where fewer may be answered.

    Args:
        index: what is asked.
        question: by whom.
        k: at least 1.
        among: rows that may be answered, (n_images,); None for all.

    Raises:
        DataError: there is no query image, the vectors or the mask do not fit the index, or an image that is
            left out is not in it.
        ConfigError: there is no such way to join.
    """
    if question.join not in get_args(Join):
        raise ConfigError(f"join = '{question.join}'; expected one of {', '.join(get_args(Join))}")
    if question.vectors.ndim != 2 or not len(question.vectors):
        raise DataError(f"query vectors of shape {question.vectors.shape}; expected one row for each image")
    mask = np.ones(len(index), dtype=np.bool_) if among is None else among.copy()
    if mask.shape != (len(index),):
        raise DataError(f"a mask of shape {mask.shape} over rows; expected ({len(index)},)")
    mask[index.rows_of(question.leave_out)] = False
    if not question.duplicates:
        mask[_same(index, question, mask)] = False
    distances, rows = _joined(index, question, k, mask if not mask.all() else None)
    return tuple(
        Answer(rank, index.ids[row], int(row), float(distance))
        for rank, (distance, row) in enumerate(zip(distances, rows, strict=True), start=1)
    )


def _joined(
    index: Index, question: Question, k: int, among: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Distances and rows, (k,), the nearest first."""
    if question.join == "mean":
        vectors = prepared(question.vectors, index.metric, "the query").astype(np.float64)
        distances, rows = index.search(vectors.mean(axis=0, keepdims=True).astype(np.float32), k, among)
        return distances[0], rows[0]
    distances, rows = index.search(question.vectors, k, among)
    # The k nearest to any of the images are among the k nearest to each.
    gaps, flat = as_gaps(distances, index.metric).ravel(), rows.ravel()
    order = np.lexsort((flat, gaps))
    _, first = np.unique(flat[order], return_index=True)
    kept = order[np.sort(first)][:k]
    return distances.ravel()[kept], flat[kept]


def _same(index: Index, question: Question, among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows no farther than `same` from one of the images."""
    allowed, k = int(np.count_nonzero(among)), 16
    while allowed:
        distances, rows = index.search(question.vectors, k, among)
        apart = distances if index.metric == "l2" else 1 - distances
        near = apart <= question.same
        if k >= allowed or not near[:, -1].any():
            return np.unique(rows[near])
        k *= 4
    return np.empty(0, dtype=np.int64)
