"""Whether a score of 0.7 comes true in 7 of 10 cases.

All (image, concept) pairs with a score are put into bins, and the mean score of a bin is held against the
share of its pairs that are in the truth. Nearly all scores are close to 0: bins of equally many pairs would
say nothing of the scores that answers hang on. So the bins have equal mass: each holds the same sum of
scores, the same number of concepts that the run expects to be right. Equal scores stay in one bin.

    expected calibration error = sum over bins of (pairs in it / all pairs) |mean score - share in the truth|

Reference: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
AAAI 2015 (the error).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.reporting.beside import RunScores
from imageclef.reporting.bootstrap import Estimate, Floats, GroupBootstrap, estimates

_BINS = 10


@dataclass(frozen=True)
class Bin:
    """Pairs with like scores.

    Attributes:
        pairs: how many.
        lowest: score among them.
        highest: score among them.
        predicted: mean score.
        observed: share of them in the truth, with its interval over groups.
    """

    pairs: int
    lowest: float
    highest: float
    predicted: float
    observed: Estimate


@dataclass(frozen=True)
class Calibration:
    """How scores and truth agree.

    Attributes:
        bins: by rising score.
        error: expected calibration error, from 0 to 1.
        pairs: with a score.
        expected_per_image: mean sum of an image's scores.
        observed_per_image: mean number of an image's concepts among those with a score.
        reached: share of the truth's concepts, over all images, that have a score at all.
    """

    bins: tuple[Bin, ...]
    error: float
    pairs: int
    expected_per_image: float
    observed_per_image: float
    reached: float


def calibrate(scores: RunScores, n_truth: int, bootstrap: GroupBootstrap) -> Calibration | None:
    """Hold scores against the truth.

    Args:
        scores: of a run.
        n_truth: number of concepts in the truth, over all images.
        bootstrap: over the groups of the images.

    Returns:
        None where no score is kept.
    """
    values = scores.matrix.data.astype(np.float64)
    if not len(values):
        return None
    n_images = scores.matrix.shape[0]
    rows, right = _pairs(scores.matrix, scores.labels)
    bin_of, n_bins = _bins(values)
    pairs = np.bincount(bin_of, minlength=n_bins)
    predicted = np.bincount(bin_of, weights=values, minlength=n_bins) / pairs
    hits, counts = (
        _by_image(rows * n_bins + bin_of, weights, (n_images, n_bins))
        for weights in (right.astype(np.float64), np.ones(len(values)))
    )
    observed = hits.sum(axis=0) / pairs
    intervals = estimates(observed, bootstrap.ratios(hits, counts))
    return Calibration(
        bins=tuple(
            Bin(
                int(pairs[place]),
                float(values[bin_of == place].min()),
                float(values[bin_of == place].max()),
                float(predicted[place]),
                intervals[place],
            )
            for place in range(n_bins)
        ),
        error=float(pairs @ np.abs(predicted - observed) / len(values)),
        pairs=len(values),
        expected_per_image=float(values.sum() / n_images),
        observed_per_image=float(right.sum() / n_images),
        reached=float(right.sum() / n_truth) if n_truth else 0.0,
    )


def _pairs(matrix: csr_array, labels: csr_array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The row of every stored score, and whether its pair is in the truth."""
    width = matrix.shape[1]
    rows, of_truth = (np.repeat(np.arange(m.shape[0]), np.diff(m.indptr)) for m in (matrix, labels))
    return rows, np.isin(rows * width + matrix.indices, of_truth * width + labels.indices)


def _by_image(cells: NDArray[np.int64], weights: Floats, shape: tuple[int, int]) -> Floats:
    """The sum of the weights of each cell, (n_images, n_bins)."""
    return (
        np.bincount(cells, weights=weights, minlength=shape[0] * shape[1]).astype(np.float64).reshape(shape)
    )


def _bins(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
    """The bin of each score, from 0 without a gap, and the number of bins."""
    rising = np.sort(values)
    mass = np.cumsum(rising)
    cuts = np.searchsorted(mass, mass[-1] * np.arange(1, _BINS) / _BINS)
    edges = np.unique(rising[cuts])
    found, bin_of = np.unique(np.searchsorted(edges, values, side="right"), return_inverse=True)
    return bin_of, len(found)
