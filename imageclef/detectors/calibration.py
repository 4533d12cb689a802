"""Calibration: probabilities that mean what they say, for each concept.

A classifier that was fitted with a penalty is too timid about some concepts and too bold about others. On
images it has not seen, each concept gets a slope a and an offset b,

    p = sigmoid(a z + b)        z the log-odds of the classifier,

by maximum a posteriori with normal priors a ~ N(1, 1/2) and b ~ N(0, 1): a concept with hardly any positives
keeps its log-odds, where a plain fit would be certain of what it saw twice.

Reference: J. Platt, "Probabilistic outputs for support vector machines", 1999.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

SLOPE_PRECISION, OFFSET_PRECISION = 4.0, 1.0
_TOLERANCE = 1e-6
"""Of the Newton decrement: what is left to gain, in log-likelihood."""
_MOST_STEPS = 50
_BLOCK = 64
"""Concepts in memory at a time, in float64."""


@dataclass(frozen=True)
class Calibration:
    """A slope and an offset for each concept, (n_concepts,) float32 each."""

    slopes: NDArray[np.float32]
    offsets: NDArray[np.float32]

    def probabilities(self, log_odds: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probabilities of log-odds, both (n_images, n_concepts)."""
        scores = log_odds * self.slopes + self.offsets
        calibrated: NDArray[np.float32] = special.expit(scores, out=scores)
        return calibrated


def plain(n_concepts: int) -> Calibration:
    """The calibration that changes nothing."""
    return Calibration(np.ones(n_concepts, np.float32), np.zeros(n_concepts, np.float32))


def fit_calibration(log_odds: NDArray[np.float32], labels: sparse.csr_array) -> Calibration:
    """Fit every concept by Newton's method.

    Args:
        log_odds: (n_images, n_concepts) of images that the classifier was not fitted on.
        labels: (n_images, n_concepts), sparse.
    """
    truth = sparse.csc_array(labels, dtype=bool)
    result = np.empty((2, log_odds.shape[1]), dtype=np.float32)
    for columns in _blocks(log_odds.shape[1]):
        result[:, columns] = _fit(log_odds[:, columns].astype(np.float64), truth[:, columns].toarray())
    return Calibration(*result)


def _fit(z: NDArray[np.float64], y: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(2, n_concepts): slopes and offsets of log-odds z and truth y, both (n_images, n_concepts)."""
    a, b = np.ones(z.shape[1]), np.zeros(z.shape[1])
    loss = _loss(z, y, a, b)
    for _ in range(_MOST_STEPS):
        p = special.expit(a * z + b)
        residuals, weights = p - y, p * (1 - p)
        slope_gradient = np.einsum("ij,ij->j", residuals, z) + SLOPE_PRECISION * (a - 1)
        offset_gradient = residuals.sum(0) + OFFSET_PRECISION * b
        moment = weights * z
        aa = np.einsum("ij,ij->j", moment, z) + SLOPE_PRECISION
        ab, bb = moment.sum(0), weights.sum(0) + OFFSET_PRECISION
        determinant = aa * bb - ab * ab
        da = (bb * slope_gradient - ab * offset_gradient) / determinant
        db = (aa * offset_gradient - ab * slope_gradient) / determinant
        if (da * slope_gradient + db * offset_gradient).max() < _TOLERANCE:
            break
        a, b, loss = _step(z, y, (a, b, loss), da, db)
    return np.stack([a, b])


def _step(
    z: NDArray[np.float64],
    y: NDArray[np.bool_],
    here: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    da: NDArray[np.float64],
    db: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A Newton step, halved for those concepts whose loss it would raise."""
    a, b, loss = here
    size = np.ones_like(a)
    for _ in range(20):
        trial = _loss(z, y, a - size * da, b - size * db)
        worse = trial > loss
        if not worse.any():
            break
        size[worse] /= 2
    size[worse] = 0.0
    return a - size * da, b - size * db, np.minimum(trial, loss)


def _loss(
    z: NDArray[np.float64], y: NDArray[np.bool_], a: NDArray[np.float64], b: NDArray[np.float64]
) -> NDArray[np.float64]:
    t = a * z + b
    prior = SLOPE_PRECISION * (a - 1) ** 2 / 2 + OFFSET_PRECISION * b**2 / 2
    result: NDArray[np.float64] = np.logaddexp(0, np.where(y, -t, t)).sum(0) + prior
    return result


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, n, _BLOCK))
