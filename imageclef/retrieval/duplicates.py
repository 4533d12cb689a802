"""Near-duplicate images: pairs of rows within a distance, in one collection or across two (leakage).

Every pair is compared: a product of blocks in float32 finds what may be near, and float64 decides. Memory is
bounded by the blocks and by the pairs that are found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import ConfigError, DataError
from imageclef.features.feature_set import Matrix
from imageclef.retrieval.vectors import Metric, as_distances, lengths_of, prepared, slices, squared_distances

_LEFT_ROWS, _RIGHT_ROWS = 1024, 4096
_ROUNDING = 1e-6  # as in imageclef.retrieval.exact
_MOST_PAIRS = 10_000_000


@dataclass(frozen=True)
class Pairs:
    """Rows that are near each other, the nearest pair first, then by rows.

    Attributes:
        left: rows of the first collection, (n_pairs,).
        right: rows of the second, or later rows of the first, (n_pairs,).
        distances: as `Index.search` returns them: Euclidean, or the cosine similarity, (n_pairs,).
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    distances: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.left)


def near_duplicates(
    features: Matrix,
    others: Matrix | None,
    metric: Metric,
    within: float,
    k: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Pairs:
    """All pairs of rows that are no farther apart than a distance.

    Args:
        features: (n_images, n_features), read in blocks.
        others: of another collection; None compares the first with itself, each pair once.
        metric: of the distance.
        within: the Euclidean distance, or for the cosine 1 - similarity; at least 0. At 0 only rows that are
            the same after rounding to float32.
        k: pairs that are kept for each row of the first collection, the nearest; None keeps all.
        progress: told how many rows of the first collection were compared.

    Raises:
        ConfigError: `within` is below 0 or k below 1.
        DataError: the widths differ, a number is not finite, or there are over ten million pairs.
    """
    if not within >= 0 or (k is not None and k < 1):
        raise ConfigError(f"within = {within}, k = {k}; expected within of at least 0 and k of at least 1")
    right = features if others is None else others
    if features.shape[1] != right.shape[1]:
        raise DataError(
            f"features of width {features.shape[1]} and {right.shape[1]}; expected both of the same learner"
        )
    bound = within**2 if metric == "l2" else 2 * within
    found = _NONE
    for start in range(0, len(features), _LEFT_ROWS):
        block = prepared(features[start : start + _LEFT_ROWS], metric, f"features from row {start}")
        near = _kept(_near(block, start, right, metric, bound, others is None, k), k)
        found = _bounded(_together([found, near]))
        if progress is not None:
            progress(len(block))
    squares, left, rights = found
    order = np.lexsort((rights, left, squares))
    return Pairs(left[order], rights[order], as_distances(squares[order], metric))


_Near = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]
_NONE: _Near = np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64)


def _near(
    block: NDArray[np.float32],
    first: int,
    right: Matrix,
    metric: Metric,
    bound: float,
    itself: bool,
    k: int | None,
) -> _Near:
    """Gaps, left rows and right rows of a block's pairs; `itself` leaves out what was compared already."""
    found = _NONE
    for start in range(first if itself else 0, len(right), _RIGHT_ROWS):
        rows = prepared(right[start : start + _RIGHT_ROWS], metric, f"features from row {start}")
        left_places, right_places = np.nonzero(_maybe(block, rows, bound))
        if itself:
            later = first + left_places < start + right_places
            left_places, right_places = left_places[later], right_places[later]
        parts = [found]
        for part in slices(len(left_places), block.shape[1]):
            one, other = left_places[part], right_places[part]
            squares = squared_distances(block[one], rows[other], metric)
            within = squares <= bound
            parts.append((squares[within], first + one[within], start + other[within]))
        # Kept as it goes: a collection of thousands of black images has millions of pairs.
        found = _bounded(_kept(_together(parts), k))
    return found


def _together(parts: Sequence[_Near]) -> _Near:
    squares, left, right = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return squares, left, right


def _bounded(near: _Near) -> _Near:
    if len(near[0]) > _MOST_PAIRS:
        raise DataError(
            f"over {_MOST_PAIRS:,} pairs so near; expected fewer: lower the distance, or ask for k of each"
        )
    return near


def _maybe(block: NDArray[np.float32], rows: NDArray[np.float32], bound: float) -> NDArray[np.bool_]:
    """False where two rows are surely farther apart than the bound, (n_block, n_rows)."""
    with np.errstate(over="ignore", invalid="ignore"):
        products = (block @ rows.T).astype(np.float64)
    left, right = lengths_of(block)[:, None], lengths_of(rows)[None]
    squares = left**2 + right**2 - 2 * products
    slack = _ROUNDING * block.shape[1] ** 0.5 * (left + right) ** 2
    # Not `<=`: what is not a number, because a product left the range of float32, is looked at too.
    return np.asarray(~(squares > bound + slack))


def _kept(near: _Near, k: int | None) -> _Near:
    """The k nearest pairs of each left row."""
    if k is None or not len(near[0]):
        return near
    squares, left, right = near
    order = np.lexsort((right, squares, left))
    starts = np.flatnonzero(np.diff(left[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    chosen = order[place < k]
    return squares[chosen], left[chosen], right[chosen]
