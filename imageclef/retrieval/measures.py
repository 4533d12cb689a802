"""How good a retrieval is, measured by the concepts that queries share with what is found.

For each query and the k images found for it:

- precision at k: the share of the k that have a concept of the query;
- average precision at k: the sum, over the places of such images, of the precision down to that place;
  divided by min(k, all such images in the collection), so that finding them first scores 1;
- nDCG at k: gains discounted by 1 / log2(rank + 1), over the same of the best possible order. The gain of an
  image is the Jaccard index of its concepts and the query's, so that it grows with what is shared and falls
  with what is not.

Queries without a concept, or that share none with any image, cannot be answered and are left out of the
means.

Reference: C. Manning, P. Raghavan, H. Schutze: Introduction to Information Retrieval, 2008, chapter 8.
Reference: K. Jarvelin, J. Kekalainen: Cumulated gain-based evaluation of IR techniques, 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.errors import DataError

_BLOCK_NUMBERS = 1 << 23


@dataclass(frozen=True)
class Quality:
    """Means over queries, each from 0 to 1.

    Attributes:
        k: images found for each query.
        n_queries: queries that could be answered.
        precision: precision at k.
        average_precision: mean average precision at k.
        ndcg: nDCG at k.
        same: for each group of concepts, how many of the k share one of the group with the query; of queries
            that have one of the group and a collection that could answer. NaN where there is no such query.
    """

    k: int
    n_queries: int
    precision: float
    average_precision: float
    ndcg: float
    same: Mapping[str, float]


def quality(
    rows: NDArray[np.int64],
    query_labels: csr_array,
    labels: csr_array,
    groups: Mapping[str, Sequence[int]] | None = None,
    own: NDArray[np.int64] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Quality:
    """Measure what was found.

    Args:
        rows: found for each query, rows of `labels`, the nearest first, (n_queries, k).
        query_labels: (n_queries, n_concepts).
        labels: of the images that were searched, (n_images, n_concepts).
        groups: columns of concepts that belong together, such as the modalities.
        own: the row of each query where queries are images of the collection, (n_queries,): it must not be
            among the answers, and does not count as one that could have been found.
        progress: told how many queries were measured.

    Raises:
        DataError: the shapes do not fit, a query is in its own answer, or no query can be answered.
    """
    _check(rows, query_labels, labels, own)
    parts: list[NDArray[np.float64]] = []
    for block in _blocks(len(rows), labels.shape[0]):
        gains = jaccard(query_labels[block], labels)
        if own is not None:
            gains[np.arange(len(gains)), own[block]] = 0
        parts.append(_measured(gains, rows[block]))
        if progress is not None:
            progress(len(gains))
    measured = np.concatenate(parts)
    answerable = ~np.isnan(measured[:, 0])
    if not answerable.any():
        raise DataError(f"none of {len(rows)} queries shares a concept with an image of the collection")
    precision, average, ndcg = measured[answerable].mean(axis=0)
    same = {
        name: _same_rate(rows, query_labels[:, list(columns)], labels[:, list(columns)], own)
        for name, columns in (groups or {}).items()
    }
    return Quality(rows.shape[1], int(answerable.sum()), float(precision), float(average), float(ndcg), same)


def random_rows(
    n_queries: int, n_images: int, k: int, seed: int = 0, own: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """What blind choice finds: k different images for each query, never the query itself, (n_queries, k).

    Raises:
        DataError: there are not that many images.
    """
    n = n_images if own is None else n_images - 1
    if not 0 < k <= n:
        raise DataError(f"k is {k}; expected 1 to {n}, the images that may be found")
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.choice(n, size=k, replace=False) for _ in range(n_queries)])
    # Rows from the query's own on are one further: it has no place among n.
    return rows if own is None else rows + (rows >= own[:, None])


def jaccard(query_labels: csr_array, labels: csr_array) -> NDArray[np.float64]:
    """Shared concepts over all concepts of two images, (n_queries, n_images); 0 where neither has one."""
    queries, images = csr_array(query_labels, dtype=np.float64), csr_array(labels, dtype=np.float64)
    shared = (queries @ images.T).toarray()
    every = np.asarray(queries.sum(axis=1))[:, None] + np.asarray(images.sum(axis=1))[None] - shared
    gains: NDArray[np.float64] = np.divide(shared, every, out=np.zeros(shared.shape), where=every > 0)
    return gains


def _measured(gains: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Precision, average precision and nDCG of each query, (n_queries, 3); NaN where none can be answered.

    Args:
        gains: of every image of the collection for each query, (n_queries, n_images).
        rows: that were found, (n_queries, k).
    """
    k = rows.shape[1]
    found = np.take_along_axis(gains, rows, axis=1)
    relevant = (gains > 0).sum(axis=1)
    right = found > 0
    ranks = np.arange(1, k + 1)
    average = (np.cumsum(right, axis=1) / ranks * right).sum(axis=1)
    discounts = 1 / np.log2(ranks + 1)
    best = -np.sort(-_largest(gains, k), axis=1)
    measured = np.full((len(rows), 3), np.nan)
    some = relevant > 0
    measured[some, 0] = right[some].mean(axis=1)
    measured[some, 1] = average[some] / np.minimum(relevant[some], k)
    measured[some, 2] = (found[some] @ discounts) / (best[some] @ discounts)
    return measured


def _largest(gains: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    return gains if k >= gains.shape[1] else -np.partition(-gains, k - 1, axis=1)[:, :k]


def _same_rate(
    rows: NDArray[np.int64], queries: csr_array, images: csr_array, own: NDArray[np.int64] | None
) -> float:
    """The share of what was found that has a concept of the query, both cut to one group."""
    asked = np.repeat(np.arange(len(rows)), rows.shape[1])
    shared = csr_array(queries[asked]).multiply(csr_array(images[rows.ravel()])).sum(axis=1)
    hits = (np.asarray(shared).ravel() > 0).reshape(rows.shape)
    holders = np.asarray(csr_array(images, dtype=np.int64).sum(axis=0)).ravel()
    could = np.asarray(csr_array(queries, dtype=np.int64) @ (holders > 0)).ravel() > 0
    if own is not None:
        # The only holder may be the query itself.
        could = np.asarray(csr_array(queries, dtype=np.int64) @ (holders > 1)).ravel() > 0
    return float(hits[could].mean()) if could.any() else float("nan")


def _check(
    rows: NDArray[np.int64], query_labels: csr_array, labels: csr_array, own: NDArray[np.int64] | None
) -> None:
    n, n_images = query_labels.shape[0], labels.shape[0]
    if rows.ndim != 2 or 0 in rows.shape or len(rows) != n or rows.shape[1] > n_images:
        raise DataError(f"rows of shape {rows.shape}; expected ({n}, k) with k of 1 to {n_images}")
    if query_labels.shape[1] != labels.shape[1]:
        raise DataError(
            f"labels of {query_labels.shape[1]} and {labels.shape[1]} concepts; expected one vocabulary"
        )
    if own is not None and (rows == own[:, None]).any():
        raise DataError("a query is in its own answer; expected it left out")


def _blocks(n: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK_NUMBERS // max(1, width))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
