"""Which concept a run invented where it missed another: what it takes for what.

An image *misses* a concept that its truth has and its answer has not, and *invents* one that its answer has
and its truth has not. Were the two unrelated, m images that miss one and v that invent the other would meet
in m v / n of n images. Pairs are ranked by how much more often they meet; the lift is the ratio.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

_CONSIDERED = 1000
"""The concepts most often missed, and as many most often invented: a table of a million pairs at most."""


@dataclass(frozen=True)
class Confusion:
    """A concept invented where another was missed.

    Attributes:
        missed: column of the one.
        invented: column of the other.
        images: where both happened.
        expected: images by chance.
        lift: images / expected.
    """

    missed: int
    invented: int
    images: int
    expected: float
    lift: float


def top_confusions(answers: csr_array, labels: csr_array, most: int = 20) -> list[Confusion]:
    """The pairs that meet most above chance, at least in two images.

    Args:
        answers: (n_images, n_concepts).
        labels: (n_images, n_concepts) of the truth.
        most: pairs returned.

    Returns:
        By falling excess of images over chance; equal ones by column.
    """
    given, truth = answers.astype(np.int32), labels.astype(np.int32)
    hits = given.multiply(truth)
    missed, invented = csr_array(truth - hits), csr_array(given - hits)
    missed_columns, missed_counts = _most_frequent(missed)
    invented_columns, invented_counts = _most_frequent(invented)
    together = (missed[:, missed_columns].T @ invented[:, invented_columns]).tocoo()
    counts = together.data
    expected = missed_counts[together.row] * invented_counts[together.col] / labels.shape[0]
    candidates = np.flatnonzero((counts >= 2) & (counts > expected))
    rows, columns = missed_columns[together.row], invented_columns[together.col]
    excess = counts - expected
    order = np.lexsort((columns[candidates], rows[candidates], -excess[candidates]))
    return [
        Confusion(
            missed=int(rows[pair]),
            invented=int(columns[pair]),
            images=int(counts[pair]),
            expected=float(expected[pair]),
            lift=float(counts[pair] / expected[pair]),
        )
        for pair in candidates[order[:most]]
    ]


def _most_frequent(matrix: csr_array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The fullest columns, and how full each is."""
    counts = np.asarray(matrix.sum(axis=0), dtype=np.int64).ravel()
    columns = np.argsort(-counts, kind="stable")[:_CONSIDERED]
    columns = columns[counts[columns] > 0]
    return columns, counts[columns]
