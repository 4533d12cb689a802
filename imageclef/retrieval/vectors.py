"""What near means: Euclidean distance or cosine similarity, and the arithmetic that decides between rows.

Both metrics are one here. A *gap* is the squared Euclidean distance; rows are brought to length 1 for the
cosine, and then a gap is 2 - 2 similarity. Gaps are taken in float64 from differences: |x|^2 + |q|^2 - 2 x.q,
the fast way, cancels for near duplicates, so that a row's distance from itself comes out as anything but 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import DataError

Metric = Literal["l2", "cosine"]

_GATHER_NUMBERS = 1 << 22


def prepared(vectors: NDArray[Any], metric: Metric, where: str) -> NDArray[np.float32]:
    """Finite float32, (n, n_features), as they are compared: at length 1 for the cosine; zeros stay.

    Raises:
        DataError: a number is not finite; the message begins with `where`.
    """
    block = np.ascontiguousarray(vectors, dtype=np.float32)
    if not np.isfinite(block).all():
        raise DataError(f"{where}: a number is not finite; expected finite numbers")
    return block if metric == "l2" else at_length_1(block)


def at_length_1(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (n, n_features) divided by their lengths; rows of zeros stay."""
    lengths = lengths_of(rows)[:, None]
    unit = np.zeros_like(rows)
    np.divide(rows, lengths, out=unit, where=lengths > 0, casting="same_kind")
    return unit


def lengths_of(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """The length of each row of (n, n_features), (n,)."""
    # In float64, whose range the square of no float32 leaves; without a copy of the rows.
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64)))


def gaps_between(
    queries: NDArray[np.float32], rows: NDArray[np.float32], metric: Metric
) -> NDArray[np.float64]:
    """Gaps along the last axis of prepared vectors; a vector of zeros has similarity 0 to everything."""
    differences = np.subtract(rows, queries, dtype=np.float64)
    gaps: NDArray[np.float64] = np.einsum("...d,...d->...", differences, differences)
    if metric == "cosine":
        gaps[np.broadcast_to(~(rows.any(axis=-1) & queries.any(axis=-1)), gaps.shape)] = 2.0
    return gaps


def as_distances(gaps: NDArray[np.float64], metric: Metric) -> NDArray[np.float32]:
    """What a search answers: the Euclidean distance, not squared, or the cosine similarity."""
    return (np.sqrt(gaps) if metric == "l2" else 1 - gaps / 2).astype(np.float32)


def as_gaps(distances: NDArray[np.float32], metric: Metric) -> NDArray[np.float64]:
    """The gaps of distances or similarities, to their precision: what is nearer has the smaller one."""
    wide = distances.astype(np.float64)
    return np.asarray(wide**2 if metric == "l2" else 2 - 2 * wide)


def slices(n: int, numbers_each: int) -> Iterator[slice]:
    """Slices of 0..n whose items have a bounded number of numbers together."""
    step = max(1, _GATHER_NUMBERS // max(1, numbers_each))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
