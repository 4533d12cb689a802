"""Exact search: float32 products propose candidates, float64 differences rank them.

Somewhat more than k candidates are found in float32, and their squared distances are computed again in
float64. If float32 could have missed a neighbour, because the last candidate is not farther than the k-th
neighbour by more than the rounding error, more candidates are taken. The result is therefore that of brute
force in float64 for any number of queries at once, and rows at equal distance come in the order of the index.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imageclef.features.feature_set import Matrix
from imageclef.retrieval.vectors import Metric, lengths_of, slices, squared_distances

Neighbors = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Squared distances and rows, (n_queries, k), by rising distance, equal distances by row."""

_SPARE = 32
_WIDEST = 2048
_QUERIES, _ROWS = 256, 8192
"""Queries and rows of one product: its 8 MB of float32 stay in the cache."""
_ROUNDING = 1e-6
"""float32 errs by less than this times sqrt(d) (|x| + |q|)^2: five times the error seen for d up to 4,096."""


class ExactSearch:
    """Exact search over prepared rows, (n_rows, n_features) float32, which may be memory-mapped."""

    def __init__(self, rows: Matrix, metric: Metric, device: str = "cpu") -> None:
        self._rows, self._metric, self._device = rows, metric, device
        self._on_gpu: _RowsOnGpu | None = None
        self._squares: NDArray[np.float32] | None = None

    def nearest(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None) -> Neighbors:
        """Find the k nearest rows of each query.

        Args:
            queries: as prepared, (n_queries, n_features).
            k: at most the number of rows that are allowed.
            allowed: the rows that may be returned, (n_rows,); None for all.
        """
        n = len(self._rows) if allowed is None else int(np.count_nonzero(allowed))
        squares, rows = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
        pending, width = np.arange(len(queries)), k + _SPARE
        while len(pending) and width < min(n, _WIDEST):
            asked = queries[pending]
            farthest, candidates = self._propose(asked, width, allowed)
            near, found = ranked(asked, candidates, k, self._rows, self._metric)
            certain = self._nothing_missed(asked, near[:, -1], farthest)
            squares[pending[certain]], rows[pending[certain]] = near[certain], found[certain]
            pending, width = pending[~certain], 8 * width
        if len(pending):
            # Queries that tie with thousands of rows are mostly one and the same: images without a keypoint.
            distinct, which = np.unique(queries[pending], axis=0, return_inverse=True)
            results = [self._brute_force(query, k, allowed) for query in distinct]
            squares[pending] = np.stack([one for one, _ in results])[which]
            rows[pending] = np.stack([one for _, one in results])[which]
        return squares, rows

    def _propose(
        self, queries: NDArray[np.float32], width: int, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Squared distance in float32 of the last candidate, (n,), and the candidates, (n, width)."""
        if self._device.startswith("cuda"):
            self._on_gpu = self._on_gpu or _RowsOnGpu(self._rows, self._device)
            keys, candidates = self._on_gpu.nearest(queries, width, allowed)
        else:
            parts = [
                _nearest(queries[start : start + _QUERIES], self._rows, self._lengths(), width, allowed)
                for start in range(0, len(queries), _QUERIES)
            ]
            keys, candidates = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        # The keys are |x|^2 - 2 x.q, without the |q|^2 that all rows of a query share.
        return keys.max(axis=1).astype(np.float64) + lengths_of(queries) ** 2, candidates

    def _lengths(self) -> NDArray[np.float32]:
        """The squared length of each row, (n_rows,), computed at the first search."""
        if self._squares is None:
            with np.errstate(over="ignore"):
                blocks = (self._rows[start : start + _ROWS] for start in range(0, len(self._rows), _ROWS))
                self._squares = np.concatenate([np.einsum("nd,nd->n", block, block) for block in blocks])
        return self._squares

    def _nothing_missed(
        self, queries: NDArray[np.float32], kth: NDArray[np.float64], farthest: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """True where every row that was not proposed must be farther than the k-th neighbour."""
        lengths = lengths_of(queries)
        # A row that was missed is nearer than the k-th neighbour, hence no longer than |q| and that distance.
        slack = _ROUNDING * np.sqrt(self._rows.shape[1]) * (2 * lengths + np.sqrt(kth)) ** 2
        return np.asarray(farthest > kth + slack)

    def _brute_force(
        self, query: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        squares = np.concatenate(
            [
                squared_distances(query, self._rows[part], self._metric)
                for part in slices(len(self._rows), self._rows.shape[1])
            ]
        )
        if allowed is not None:
            squares[~allowed] = np.inf
        order = np.argsort(squares, kind="stable")[:k]
        return squares[order], order


def ranked(
    queries: NDArray[np.float32], candidates: NDArray[np.int64], k: int, rows: Matrix, metric: Metric
) -> Neighbors:
    """Rank candidates (n_queries, at least k) in float64, equal distances by row, and return the first k.

    A candidate of -1 comes last with an infinite distance.
    """
    squares = np.empty(candidates.shape)
    for block in slices(len(queries), candidates.shape[1] * rows.shape[1]):
        chosen = np.maximum(candidates[block], 0)
        near = rows[chosen.ravel()].reshape(*chosen.shape, rows.shape[1])
        squares[block] = squared_distances(queries[block, None], near, metric)
    squares[candidates < 0] = np.inf
    order = np.lexsort((candidates, squares), axis=1)[:, :k]
    return np.take_along_axis(squares, order, axis=1), np.take_along_axis(candidates, order, axis=1)


_Proposed = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Keys |x|^2 - 2 x.q and rows of the candidates, (n_queries, width), in no order."""


def _nearest(
    queries: NDArray[np.float32],
    rows: Matrix,
    squares: NDArray[np.float32],
    width: int,
    allowed: NDArray[np.bool_] | None,
) -> _Proposed:
    """Find the `width` smallest keys of each query; `squares` are the squared lengths of the rows."""
    best = np.full((len(queries), width), np.inf, np.float32), np.full((len(queries), width), -1, np.int64)
    for start in range(0, len(rows), _ROWS):
        places, block = np.arange(start, min(start + _ROWS, len(rows))), rows[start : start + _ROWS]
        if allowed is not None:
            inside = np.flatnonzero(allowed[start : start + _ROWS])
            if not len(inside):
                continue
            if len(inside) < len(block):
                places, block = places[inside], block[inside]
        with np.errstate(over="ignore", invalid="ignore"):
            keys = queries @ block.T
            keys *= -2
            keys += squares[places]
            # A key outside the range of float32 says nothing: such a row becomes a candidate.
            if not np.isfinite(keys.sum(dtype=np.float64)):
                keys[~np.isfinite(keys)] = -np.inf
        best = _merged(best, keys, places)
    return best


def _merged(best: _Proposed, keys: NDArray[np.float32], places: NDArray[np.int64]) -> _Proposed:
    """Merge the best candidates so far with a block of keys, (n_queries, n_block)."""
    width = best[0].shape[1]
    bound = best[0].max(axis=1)
    if np.isinf(bound).any():
        numbers = np.broadcast_to(places, keys.shape)
    else:
        # Few keys are below the worst candidate: these are packed to the left.
        which, column = np.nonzero(keys < bound[:, None])
        if not len(which):
            return best
        counts = np.bincount(which, minlength=len(keys))
        place = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        packed = np.full((len(keys), int(counts.max())), np.inf, np.float32)
        numbers = np.full(packed.shape, -1, dtype=np.int64)
        packed[which, place], numbers[which, place] = keys[which, column], places[column]
        keys = packed
    keys, numbers = np.concatenate([best[0], keys], axis=1), np.concatenate([best[1], numbers], axis=1)
    kept = np.argpartition(keys, width - 1, axis=1)[:, :width]
    return np.take_along_axis(keys, kept, axis=1), np.take_along_axis(numbers, kept, axis=1)


class _RowsOnGpu:
    """The rows in the memory of a GPU, for which torch is imported."""

    def __init__(self, rows: Matrix, device: str) -> None:
        import torch

        self._rows = torch.empty((len(rows), rows.shape[1]), dtype=torch.float32, device=device)
        for start in range(0, len(rows), _ROWS):
            block = np.array(rows[start : start + _ROWS])
            self._rows[start : start + len(block)] = torch.from_numpy(block)
        self._squares = self._rows.square().sum(1)

    def nearest(
        self, queries: NDArray[np.float32], width: int, allowed: NDArray[np.bool_] | None
    ) -> _Proposed:
        """Find the `width` smallest keys of each query."""
        import torch

        device, squares = self._rows.device, self._squares
        if allowed is not None:
            squares = squares.masked_fill(~torch.from_numpy(allowed).to(device), torch.inf)
        keys, found = [], []
        for start in range(0, len(queries), _QUERIES):
            block = torch.from_numpy(queries[start : start + _QUERIES]).to(device)
            top = torch.addmm(squares, block, self._rows.T, alpha=-2).topk(width, largest=False)
            keys.append(top.values.cpu().numpy())
            found.append(top.indices.cpu().numpy())
        return np.concatenate(keys), np.concatenate(found)
