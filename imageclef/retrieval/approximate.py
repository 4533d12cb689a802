"""Approximate search: a structure proposes, float64 ranks, and k answers come back where k exist.

The structure holds the first rows of the index; rows added since are searched exactly, until they are so many
that they are added to the structure. Under a filter the structure searches as much harder as rows are fewer,
and where the rows that are allowed are few they are all compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imageclef.retrieval.exact import Exact, Found, ranked
from imageclef.retrieval.faiss_index import Structure
from imageclef.retrieval.kinds import Effort, Kind
from imageclef.retrieval.segments import Rows

_SPARE = 8
_FEW = 4096
_FEW_SHARE = 0.02
_TRAINING_ROWS = 1 << 17
_QUERIES_AT_ONCE = 1024
_FARTHEST_WALK = 1 << 14


def structured(
    rows: Rows, kind: Kind, live: NDArray[np.int64], seed: int, learnt: Structure | None = None
) -> Structure:
    """A structure that holds all the rows.

    Args:
        rows: of the index.
        kind: an approximate one.
        live: the numbers of rows that it may learn from.
        seed: of the sample that it learns from.
        learnt: an earlier structure of this kind, which then has to learn nothing.
    """
    if learnt is None:
        sample = np.random.default_rng(seed).permutation(live)[:_TRAINING_ROWS]
        half = all(segment.rows.dtype == np.float16 for segment in rows.segments)
        learnt = Structure.train(kind, rows.metric, len(live), rows.take(np.sort(sample)), half)
    else:
        learnt.empty()
    extend(learnt, rows)
    return learnt


def extend(structure: Structure, rows: Rows) -> None:
    """Add the rows that came after it to a structure."""
    for _, block in rows.after(len(structure)).blocks():
        structure.add(block)


class Approximate:
    """Search of rows by a structure; queries as `vectors.prepared` leaves them."""

    def __init__(self, rows: Rows, structure: Structure, effort: Effort, exact: Exact) -> None:
        self._rows = rows
        self._structure = structure
        self._effort = effort
        self._exact = exact
        self._tail = Exact(rows.after(len(structure)))

    def nearest(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None) -> Found:
        """Near rows, of those that are allowed, (n_rows,), which are at least k."""
        n = len(self._rows)
        n_allowed = n if allowed is None else int(np.count_nonzero(allowed))
        if n_allowed <= max(_FEW, _FEW_SHARE * n, 2 * k) and n_allowed < n:
            return self._exact.nearest(queries, k, allowed)
        gaps, rows = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            block = slice(start, start + _QUERIES_AT_ONCE)
            gaps[block], rows[block] = self._block(queries[block], k, allowed, n / n_allowed)
        return gaps, rows

    def _block(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None, harder: float
    ) -> Found:
        gaps, rows = np.full((len(queries), k), np.inf), np.full((len(queries), k), -1, dtype=np.int64)
        pending, reach = np.arange(len(queries)), round(self._effort.reach * harder)
        most = self._structure.n_lists or min(len(self._structure), _FARTHEST_WALK)
        while len(pending):
            effort = Effort(min(reach, most), self._effort.spread)
            found = self._ranked(queries[pending], k, allowed, effort)
            gaps[pending], rows[pending] = found
            pending = pending[found[1].min(axis=1, initial=0) < 0] if k else pending[:0]
            if reach >= most:
                break
            reach *= 4
        if len(pending):
            gaps[pending], rows[pending] = self._exact.nearest(queries[pending], k, allowed)
        return gaps, rows

    def _ranked(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None, effort: Effort
    ) -> Found:
        """The best of what one search proposes; -1 and an infinite gap where it proposes too few."""
        n = len(self._structure)
        width = min(n, k * effort.spread + _SPARE)
        inside = None if allowed is None else allowed[:n]
        candidates = self._structure.propose(queries, width, effort, inside)
        added = np.arange(n, len(self._rows)) if allowed is None else n + np.flatnonzero(allowed[n:])
        if len(added):
            beyond = None if allowed is None else allowed[n:]
            _, near = self._tail.nearest(queries, min(k, len(added)), beyond)
            candidates = np.concatenate([candidates, near + n], axis=1)
        missing = np.full((len(queries), max(0, k - candidates.shape[1])), -1)
        candidates = np.concatenate([candidates, missing], axis=1)
        gaps, rows = ranked(queries, candidates, k, self._rows)
        return gaps, np.where(np.isinf(gaps), -1, rows)
