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

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imageclef.retrieval.approximate import Approximate
from imageclef.retrieval.exact import Exact
from imageclef.retrieval.faiss_index import Structure
from imageclef.retrieval.kinds import Effort, efforts
from imageclef.retrieval.segments import Rows
from imageclef.retrieval.vectors import Metric, prepared

_QUERIES = 256
_K = 10


@dataclass(frozen=True)
class Recall:
    """What was asked of an approximate index, and what was measured.

    Attributes:
        asked: the recall that was asked for.
        measured: the recall that was found with `effort`.
        k: neighbours for each query.
        n_queries: rows that it was measured on.
        n_rows: rows of the index when it was measured.
        effort: how hard every search is.
    """

    asked: float
    measured: float
    k: int
    n_queries: int
    n_rows: int
    effort: Effort

    @property
    def reached(self) -> bool:
        """Whether it is what was asked for."""
        return self.measured >= self.asked


def tuned(
    rows: Rows,
    structure: Structure,
    live: NDArray[np.bool_] | None,
    asked: float,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> Recall:
    """The least effort that reaches a recall, or the one that comes nearest.

    Args:
        rows: of the index.
        structure: over them.
        live: which of them were not removed, (n_rows,); None for all.
        asked: the recall, above 0 and at most 1.
        seed: of the sample of queries.
        progress: told after each effort that was tried.
    """
    exact = Exact(rows, hold=False)
    sample = _sampled(rows, structure, exact, live, seed)
    n_rows = len(rows) if live is None else int(np.count_nonzero(live))
    best: Recall | None = None
    for effort in efforts(structure.kind, len(structure), structure.n_lists):
        search = Approximate(rows, structure, effort, exact)
        gaps, _ = _without_self(search.nearest(sample.queries, sample.k + 1, live), sample.own, sample.k)
        measured = float(np.mean(gaps <= sample.kth)) if sample.k else 1.0
        if best is None or measured > best.measured:
            best = Recall(asked, measured, sample.k, len(sample.own), n_rows, effort)
        if progress is not None:
            progress(1)
        if best.reached:
            break
    if best is None:
        raise ValueError("no effort to try")
    return best


@dataclass(frozen=True)
class _Sample:
    """Queries and what there is to find.

    Attributes:
        queries: as prepared, (n_queries, n_features).
        own: the number of each one's row, which is left out; -1 where it is no row.
        k: neighbours for each.
        kth: the gap of the k-th, (n_queries, 1): also that of every row that ties with it.
    """

    queries: NDArray[np.float32]
    own: NDArray[np.int64]
    k: int
    kth: NDArray[np.float64]


def _sampled(
    rows: Rows, structure: Structure, exact: Exact, live: NDArray[np.bool_] | None, seed: int
) -> _Sample:
    numbers = np.arange(len(rows)) if live is None else np.flatnonzero(live)
    own = np.sort(np.random.default_rng(seed).permutation(numbers)[:_QUERIES])
    k = min(_K, len(numbers) - 1)
    queries = rows.take(own)
    gaps, near = _without_self(exact.nearest(queries, k + 1, live), own, k)
    if structure.kind == "hnsw" and k:
        queries, own = _moved_away(queries, rows.take(near[:, -1]), rows.metric), np.full(len(own), -1)
        gaps, _ = _without_self(exact.nearest(queries, k + 1, live), own, k)
    return _Sample(queries, own, k, gaps[:, -1:])


def _moved_away(
    rows: NDArray[np.float32], others: NDArray[np.float32], metric: Metric
) -> NDArray[np.float32]:
    """Points on the other side of each row, as far from it as another row, as prepared."""
    return prepared(rows + (rows - others), metric, "a query of the sample")


def _without_self(
    found: tuple[NDArray[np.float64], NDArray[np.int64]], own: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The first k answers of each query but itself; a query that is not among its answers loses the last."""
    gaps, rows = found
    others = rows != own[:, None]
    others[others.all(axis=1), -1] = False
    return gaps[others].reshape(len(own), k), rows[others].reshape(len(own), k)
