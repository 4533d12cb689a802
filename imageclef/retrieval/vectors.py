"""The metrics: Euclidean distance and cosine similarity, and the arithmetic that ranks rows by them.

Both metrics are ranked by squared Euclidean distances. For the cosine, rows are scaled to length 1, and the
squared distance is then 2 - 2 similarity. Squared distances are summed over differences in float64: the
faster |x|^2 + |q|^2 - 2 x.q cancels for near duplicates, and a row would not be at distance 0 from itself.
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
    """Convert vectors to the form in which they are compared.

    Args:
        vectors: (n, n_features).
        metric: for the cosine, vectors are scaled to length 1; vectors of zeros stay.
        where: the beginning of the error message.

    Returns:
        Contiguous float32, (n, n_features).

    Raises:
        DataError: a number is not finite.
    """
    with np.errstate(over="ignore"):
        block = np.ascontiguousarray(vectors, dtype=np.float32)
    if not np.isfinite(block).all():
        raise DataError(f"{where}: a number is not finite; expected finite numbers")
    return block if metric == "l2" else at_length_1(block)


def at_length_1(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide rows (n, n_features) by their lengths; rows of zeros stay."""
    lengths = lengths_of(rows)[:, None]
    unit = np.zeros_like(rows)
    np.divide(rows, lengths, out=unit, where=lengths > 0, casting="same_kind")
    return unit


def lengths_of(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the length of each row of (n, n_features), (n,)."""
    # In float64, because the square of a float32 can leave the range of float32; without a copy of the rows.
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64)))


def squared_distances(
    queries: NDArray[np.float32], rows: NDArray[np.float32], metric: Metric
) -> NDArray[np.float64]:
    """Squared distances of prepared vectors along their last axis.

    For the cosine a vector of zeros has similarity 0 to everything, hence a squared distance of 2.
    """
    differences = np.subtract(rows, queries, dtype=np.float64)
    squares: NDArray[np.float64] = np.einsum("...d,...d->...", differences, differences)
    if metric == "cosine":
        squares[np.broadcast_to(~(rows.any(axis=-1) & queries.any(axis=-1)), squares.shape)] = 2.0
    return squares


def as_distances(squares: NDArray[np.float64], metric: Metric) -> NDArray[np.float32]:
    """Convert squared distances to what a search returns: Euclidean distance, or cosine similarity."""
    return (np.sqrt(squares) if metric == "l2" else 1 - squares / 2).astype(np.float32)


def as_squares(distances: NDArray[np.float32], metric: Metric) -> NDArray[np.float64]:
    """Convert what a search returns back to squared distances, to its precision."""
    wide = distances.astype(np.float64)
    return np.asarray(wide**2 if metric == "l2" else 2 - 2 * wide)


def slices(n: int, numbers_each: int) -> Iterator[slice]:
    """Split 0..n into slices whose items together have a bounded number of numbers."""
    step = max(1, _GATHER_NUMBERS // max(1, numbers_each))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
