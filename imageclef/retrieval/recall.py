"""How much an approximate search finds of what there is, measured; and how hard it must search for that.

Recall at k is the share of the true k nearest neighbours that a search finds (at equal distances either row
is right), measured against exact search of the same rows. The queries are rows of the index, each left out of
its own answer. A graph (`hnsw`) knows its own rows better than others: it has edges from a row to the rows
near it. There each row x is moved away from its k-th neighbour y, to x + (x - y), which the graph has not
seen and which is about as far from the rows as they are from each other. On rows that were held out, of
Gaussians, random walks and clusters of 16 to 128 dimensions, `ivf` and `ivfpq` found as much as for their own
rows, to 0.03, and `hnsw` as much as for the moved ones, or more; for its own it claimed up to 0.15 more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imageclef.features.feature_set import Matrix
from imageclef.retrieval.ann import Ann, AnnSearch
from imageclef.retrieval.exact import ExactSearch, Neighbors
from imageclef.retrieval.kinds import Kind, Recall, efforts
from imageclef.retrieval.vectors import Metric, prepared

_QUERIES = 256
_K = 10


def tuned(rows: Matrix, metric: Metric, ann: Ann, asked: float, seed: int) -> Recall:
    """Find the least effort that reaches a recall, or else the effort with the highest.

    Args:
        rows: of the index, as prepared.
        metric: of the index.
        ann: over these rows.
        asked: the recall, above 0 and at most 1.
        seed: of the sample of queries.
    """
    exact = ExactSearch(rows, metric)
    sample = _sampled(rows, metric, ann.kind, exact, seed)
    best: Recall | None = None
    for effort in efforts(ann.kind, len(ann), ann.n_lists):
        search = AnnSearch(rows, metric, ann, effort, exact)
        found = _without_self(search.nearest(sample.queries, sample.k + 1, None), sample.own, sample.k)
        measured = float(np.mean(found[0] <= sample.kth)) if sample.k else 1.0
        if best is None or measured > best.measured:
            best = Recall(asked, measured, sample.k, len(sample.own), len(rows), effort)
        if best.reached:
            break
    if best is None:
        raise ValueError("no effort to try")
    return best


@dataclass(frozen=True)
class _Sample:
    """Queries and their true neighbors.

    Attributes:
        queries: as prepared, (n_queries, n_features).
        own: the row of each query, which is left out; -1 where it is no row.
        k: neighbors of each.
        kth: the squared distance of the k-th, (n_queries, 1), and of every row that ties with it.
    """

    queries: NDArray[np.float32]
    own: NDArray[np.int64]
    k: int
    kth: NDArray[np.float64]


def _sampled(rows: Matrix, metric: Metric, kind: Kind, exact: ExactSearch, seed: int) -> _Sample:
    own = np.sort(np.random.default_rng(seed).permutation(len(rows))[:_QUERIES])
    k = min(_K, len(rows) - 1)
    queries = np.asarray(rows[own])
    squares, near = _without_self(exact.nearest(queries, k + 1, None), own, k)
    if kind == "hnsw" and k:
        others = rows[near[:, -1]]
        queries = prepared(queries + (queries - others), metric, "a query of the sample")
        own = np.full(len(own), -1)
        squares, _ = _without_self(exact.nearest(queries, k + 1, None), own, k)
    return _Sample(queries, own, k, squares[:, -1:])


def _without_self(found: Neighbors, own: NDArray[np.int64], k: int) -> Neighbors:
    """The first k results of each query but itself; a query that is not among its results loses the last."""
    squares, rows = found
    others = rows != own[:, None]
    others[others.all(axis=1), -1] = False
    return squares[others].reshape(len(own), k), rows[others].reshape(len(own), k)
