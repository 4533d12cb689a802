"""From neighbours to concepts: three votes.

- `union`: every concept of a neighbour (the k-NN runs of 2018).
- `most_frequent`: the r concepts that most neighbours have; r is by default the mean length of their lists.
- `weighted_vote`: concepts whose share of the neighbours, weighted by similarity, reaches a threshold.

Votes are products of two sparse matrices: neighbours (n_queries, n_train) by labels (n_train, n_concepts).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from imageclef.errors import DataError

Vote = Literal["union", "most-frequent", "weighted"]

_BLOCK_QUERIES = 1024


@dataclass(frozen=True)
class Choice:
    """A way to vote.

    Attributes:
        vote: which of the three.
        k: neighbours that vote.
        cut: r for `most-frequent`, None meaning the mean length; the threshold for `weighted`; else None.
        score: the mean per-image F1 that it was chosen for.
    """

    vote: Vote
    k: int
    cut: float | None = None
    score: float = float("nan")


def similarities(distances: NDArray[np.float32], metric: Literal["l2", "cosine"]) -> NDArray[np.float64]:
    """The weights of neighbours, (n_queries, k), from what `Index.search` returns.

    1 / distance for `l2`, so that a neighbour at distance 0 outvotes all others, and the similarity itself
    for `cosine`, where neighbours that point away have no vote.
    """
    if metric == "cosine":
        return np.maximum(distances, 0).astype(np.float64)
    # Relative to the nearest: no weight leaves the range of a float, whatever the unit of the features.
    nearest = distances[:, :1].astype(np.float64)
    far = distances > 0
    relative = np.divide(nearest, distances, out=np.zeros(distances.shape), where=far)
    return np.where(far, relative, 1.0)


def vote_scores(rows: NDArray[np.int64], weights: NDArray[np.float64], labels: csr_array) -> csr_array:
    """The weight of the neighbours that have each concept.

    Args:
        rows: neighbours of each query, rows of `labels`, (n_queries, k).
        weights: of each neighbour, (n_queries, k).
        labels: (n_train, n_concepts).

    Returns:
        float64, (n_queries, n_concepts), with sorted indices; a concept that no neighbour has is not stored.
    """
    blocks = [_block_scores(rows[block], weights[block], labels) for block in _blocks(len(rows))]
    return csr_array(vstack(blocks, format="csr")) if blocks else csr_array((0, labels.shape[1]))


def union(rows: NDArray[np.int64], labels: csr_array) -> csr_array:
    """Every concept that a neighbour has.

    Args:
        rows: neighbours of each query, (n_queries, k).
        labels: (n_train, n_concepts).

    Returns:
        bool, (n_queries, n_concepts).
    """
    counted = counts(rows, labels)
    return _keep(counted, np.ones(counted.nnz, dtype=np.bool_))


def most_frequent(rows: NDArray[np.int64], labels: csr_array, r: int | None) -> csr_array:
    """The r concepts that most neighbours have; among equal counts the lower column.

    Args:
        rows: neighbours of each query, (n_queries, k).
        labels: (n_train, n_concepts).
        r: concepts for each query; None takes the mean length of its neighbours' lists, rounded, at least 1.

    Returns:
        bool, (n_queries, n_concepts).
    """
    counted = counts(rows, labels)
    limits = mean_lengths(rows, labels) if r is None else np.full(len(rows), r)
    return _keep(counted, places(counted) < np.repeat(limits, np.diff(counted.indptr)))


def weighted_vote(
    rows: NDArray[np.int64], similarities: NDArray[np.float64], labels: csr_array, threshold: float
) -> csr_array:
    """Concepts whose similarity-weighted share of the neighbours reaches a threshold.

    Args:
        rows: neighbours of each query, (n_queries, k).
        similarities: weights of at least 0, (n_queries, k); a query whose weights are all 0 gets no concepts.
        labels: (n_train, n_concepts).
        threshold: above 0, at most 1.

    Returns:
        bool, (n_queries, n_concepts).
    """
    shares = vote_scores(rows, normalised(similarities), labels)
    return _keep(shares, as_scored(shares.data) >= threshold)


def vote(
    choice: Choice,
    rows: NDArray[np.int64],
    distances: NDArray[np.float32],
    metric: Literal["l2", "cosine"],
    labels: csr_array,
    most: int | None = None,
) -> csr_array:
    """Vote in the chosen way.

    Args:
        choice: of the vote; only the first k neighbours are asked.
        rows: neighbours of each query, (n_queries, at least k).
        distances: as `Index.search` returns them, of the same shape.
        metric: of the distances.
        labels: (n_train, n_concepts).
        most: concepts that a query may get; the ones with the smallest vote are dropped.

    Returns:
        bool, (n_queries, n_concepts).
    """
    rows, weights = rows[:, : choice.k], similarities(distances[:, : choice.k], metric)
    match choice.vote:
        case "union":
            answers = union(rows, labels)
        case "most-frequent":
            answers = most_frequent(rows, labels, None if choice.cut is None else int(choice.cut))
        case "weighted" if choice.cut is not None:
            answers = weighted_vote(rows, weights, labels, choice.cut)
        case _:
            raise DataError(f"vote '{choice.vote}' with cut {choice.cut}; expected one of {get_args(Vote)}")
    if most is None:
        return answers
    # Concepts of neighbours without any weight are the last to stay, not missing.
    scores = vote_scores(rows, normalised(weights) + np.finfo(np.float64).eps, labels)
    shares = csr_array(scores * answers)
    return _keep(shares, places(shares) < most)


def shares(
    choice: Choice,
    rows: NDArray[np.int64],
    distances: NDArray[np.float32],
    metric: Literal["l2", "cosine"],
    labels: csr_array,
) -> csr_array:
    """How much of the vote each concept got, from 0 to 1, (n_queries, n_concepts) float32; see `vote`."""
    rows, weights = rows[:, : choice.k], similarities(distances[:, : choice.k], metric)
    if choice.vote != "weighted":
        weights = np.ones(rows.shape)
    return csr_array(vote_scores(rows, normalised(weights), labels), dtype=np.float32)


def as_scored(shares: NDArray[np.float64]) -> NDArray[np.float32]:
    """Shares as thresholds are tuned on them: a cut must mean the same when it is applied."""
    return shares.astype(np.float32)


def counts(rows: NDArray[np.int64], labels: csr_array) -> csr_array:
    """The number of neighbours that have each concept, (n_queries, n_concepts)."""
    return vote_scores(rows, np.ones(rows.shape), labels)


def _block_scores(rows: NDArray[np.int64], weights: NDArray[np.float64], labels: csr_array) -> csr_array:
    n, k = rows.shape
    starts = np.arange(0, n * k + 1, k)
    neighbours = csr_array(
        (weights.ravel().astype(np.float64), rows.ravel(), starts), shape=(n, labels.shape[0])
    )
    scores = csr_array(neighbours @ labels)
    scores.eliminate_zeros()
    scores.sort_indices()
    return scores


def normalised(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (n_queries, k) as shares of their sum; zeros where all of a query are 0."""
    shares = np.zeros(weights.shape)
    total = weights.sum(axis=1, keepdims=True)
    np.divide(weights, total, out=shares, where=total > 0)
    return shares


def mean_lengths(rows: NDArray[np.int64], labels: csr_array) -> NDArray[np.int64]:
    """The rounded mean length of the neighbours' lists, at least 1, (n_queries,)."""
    lengths = np.diff(labels.indptr)[rows].mean(axis=1)
    return np.asarray(np.maximum(1, np.floor(lengths + 0.5)), dtype=np.int64)


def places(scores: csr_array) -> NDArray[np.int64]:
    """The place of each stored score in its row, from 0 for the highest; equal scores by column, (nnz,)."""
    starts, lengths = scores.indptr[:-1], np.diff(scores.indptr)
    query = np.repeat(np.arange(scores.shape[0]), lengths)
    order = np.lexsort((scores.indices, -scores.data, query))
    found = np.empty(scores.nnz, dtype=np.int64)
    found[order] = np.arange(scores.nnz) - np.repeat(starts, lengths)
    return found


def _keep(scores: csr_array, kept: NDArray[np.bool_]) -> csr_array:
    """Those of the stored scores that are kept, (nnz,), as bool."""
    answers = csr_array((kept, scores.indices.copy(), scores.indptr.copy()), shape=scores.shape)
    answers.eliminate_zeros()
    return answers


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK_QUERIES) for start in range(0, n, _BLOCK_QUERIES))
