"""Exact search: float32 proposes, float64 disposes.

Somewhat more than k candidates are found in float32 and their gaps computed again in float64. Where the last
candidate is not farther than the k-th neighbour by more than float32 can err, more candidates are asked for,
so that the answer is that of brute force in float64, and equal rows always come in the order of the index.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from imageclef.retrieval.faiss_index import GpuRows, Proposals, nearest, sees_gpu
from imageclef.retrieval.segments import Rows
from imageclef.retrieval.torch_search import TorchRows
from imageclef.retrieval.vectors import Metric, gaps_between, lengths_of, slices

Found = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Gaps and row numbers, (n_queries, k), by rising gap, equal gaps by number."""

_SPARE = 32
_WIDEST = 2048  # faiss on a GPU finds at most this many
# float32 errs by less than this times sqrt(d) (|x| + |q|)^2: over five times what was seen, d 1 to 4,096.
_ROUNDING = 1e-6


class _Proposer(Protocol):
    def propose(
        self, queries: NDArray[np.float32], width: int, numbers: NDArray[np.int64] | None
    ) -> Proposals: ...


class Exact:
    """Exact search of rows; queries as `vectors.prepared` leaves them.

    Rows in float16 are brought to float32 when all of them are first searched: once, to be held in memory, or
    block by block in every search.
    """

    def __init__(self, rows: Rows, device: str = "cpu", hold: bool = True) -> None:
        self._rows = rows
        self._device = device
        self._hold = hold
        self._proposer: _Proposer | None = None

    def nearest(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None) -> Found:
        """The k nearest rows, of those that are allowed, (n_rows,), which are at least k."""
        numbers = None if allowed is None else np.flatnonzero(allowed)
        n = len(self._rows) if numbers is None else len(numbers)
        gaps, rows = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
        pending, width = np.arange(len(queries)), k + _SPARE
        # Where few are forbidden it costs less to find them and drop them than to copy all the others.
        dropping = numbers is not None and 2 * n > len(self._rows)
        width = width * len(self._rows) // n + 1 if dropping else width
        while len(pending) and width < min(n, _WIDEST):
            asked = queries[pending]
            keys, candidates = self._propose(asked, width, None if dropping else numbers)
            near_gaps, near_rows = ranked(asked, candidates, k, self._rows, allowed if dropping else None)
            farthest = keys.max(axis=1, initial=-np.inf).astype(np.float64)
            certain = self._beyond(asked, near_gaps[:, -1], farthest) & (candidates >= 0).all(axis=1)
            gaps[pending[certain]], rows[pending[certain]] = near_gaps[certain], near_rows[certain]
            # Too many of the nearest may be forbidden: then it costs less to copy the others after all.
            lacking = dropping and bool(np.isinf(near_gaps[~certain, -1]).any())
            pending, width, dropping = (
                pending[~certain],
                width if lacking else 8 * width,
                dropping and not lacking,
            )
        if len(pending):
            # Queries that tie with thousands of rows are mostly one and the same: images without a keypoint.
            distinct, which = np.unique(queries[pending], axis=0, return_inverse=True)
            found = [self._brute_force(query, k, numbers) for query in distinct]
            gaps[pending] = np.stack([gap for gap, _ in found])[which]
            rows[pending] = np.stack([row for _, row in found])[which]
        return gaps, rows

    def _propose(
        self, queries: NDArray[np.float32], width: int, numbers: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Gaps as float32 sees them, and candidates, in no order."""
        if self._proposer is None:
            self._proposer = _proposer(self._rows, self._device, self._hold)
        measured, candidates = self._proposer.propose(queries, width, numbers)
        keys = measured.astype(np.float64)
        return (keys if self._rows.metric == "l2" else 2 - 2 * keys), candidates

    def _beyond(
        self, queries: NDArray[np.float32], kth: NDArray[np.float64], farthest: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """True where every row that was not proposed must be farther than the k-th neighbour."""
        lengths = lengths_of(queries)
        # A row that was missed is nearer than the k-th neighbour, hence no longer than |q| and that distance.
        slack = _ROUNDING * np.sqrt(self._rows.n_features) * (2 * lengths + np.sqrt(kth)) ** 2
        return np.asarray(farthest > kth + slack)

    def _brute_force(self, query: NDArray[np.float32], k: int, numbers: NDArray[np.int64] | None) -> Found:
        gaps, found = [np.empty(0)], [np.empty(0, dtype=np.int64)]
        for first, rows in self._rows.blocks(numbers):
            for part in slices(len(rows), self._rows.n_features):
                gaps.append(gaps_between(query, rows[part], self._rows.metric))
                inside = np.arange(len(rows))[part]
                found.append(first + inside if isinstance(first, int) else first[part])
        every_gap, every_row = np.concatenate(gaps), np.concatenate(found)
        order = np.argsort(every_gap, kind="stable")[:k]
        return every_gap[order], every_row[order]


def ranked(
    queries: NDArray[np.float32],
    candidates: NDArray[np.int64],
    k: int,
    rows: Rows,
    allowed: NDArray[np.bool_] | None = None,
) -> Found:
    """The k nearest of the candidates (n_queries, at least k), by gap in float64, then by number.

    A candidate of -1, or one that is not allowed, comes last with an infinite gap.
    """
    gaps = np.empty(candidates.shape)
    for block in slices(len(queries), candidates.shape[1] * rows.n_features):
        near = rows.take(np.maximum(candidates[block], 0))
        gaps[block] = gaps_between(queries[block, None], near, rows.metric)
    out = candidates < 0 if allowed is None else (candidates < 0) | ~allowed[candidates]
    gaps[out] = np.inf
    order = np.lexsort((candidates, gaps), axis=1)[:, :k]
    return np.take_along_axis(gaps, order, axis=1), np.take_along_axis(candidates, order, axis=1)


def _proposer(rows: Rows, device: str, hold: bool) -> _Proposer:
    if not device.startswith("cuda"):
        return _ByFaiss(rows, hold)
    if not sees_gpu():
        return _ByTorch(rows, device)
    return _ByFaiss(rows, gpu=GpuRows(rows.metric, rows.n_features))


class _ByFaiss:
    """faiss over the rows where they lie, block by block, or in the memory of a GPU."""

    def __init__(self, rows: Rows, hold: bool = False, gpu: GpuRows | None = None) -> None:
        self._rows = rows
        self._every: Rows | None = None if hold else rows
        self._gpu = gpu
        if gpu is not None:
            for _, block in rows.blocks():
                gpu.add(block)

    def propose(
        self, queries: NDArray[np.float32], width: int, numbers: NDArray[np.int64] | None
    ) -> Proposals:
        if self._gpu is not None and numbers is None:
            return self._gpu.nearest(queries, width)
        search = nearest if self._gpu is None else self._gpu.nearest_of
        if numbers is None and self._every is None:
            self._every = self._rows.widened()
        searched = self._rows if numbers is not None or self._every is None else self._every
        metric, best = self._rows.metric, None
        for first, block in searched.blocks(numbers):
            keys, places = search(queries, block, min(width, len(block)), metric)
            known = first + places if isinstance(first, int) else first[places]
            own = keys, np.where(places >= 0, known, -1)
            best = own if best is None else _merged(best, own, width, metric)
        if best is None:
            raise ValueError("no rows to search")
        return best


class _ByTorch:
    def __init__(self, rows: Rows, device: str) -> None:
        self._held = TorchRows(rows, device)

    def propose(
        self, queries: NDArray[np.float32], width: int, numbers: NDArray[np.int64] | None
    ) -> Proposals:
        return self._held.nearest(queries, width, numbers)


def _merged(one: Proposals, other: Proposals, width: int, metric: Metric) -> Proposals:
    """The `width` best of two."""
    keys = np.concatenate([one[0], other[0]], axis=1)
    numbers = np.concatenate([one[1], other[1]], axis=1)
    if keys.shape[1] <= width:
        return keys, numbers
    order = np.argpartition(keys if metric == "l2" else -keys, width - 1, axis=1)[:, :width]
    return np.take_along_axis(keys, order, axis=1), np.take_along_axis(numbers, order, axis=1)
