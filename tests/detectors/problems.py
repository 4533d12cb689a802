"""Small problems with correlated features, and a plain float64 second version of the objective."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special
from sklearn.linear_model import LogisticRegression as Oracle
from sklearn.utils.class_weight import compute_sample_weight

from imageclef.detectors.logistic import LogisticRegression

Float64 = NDArray[np.float64]


def drawn(
    n: int = 400, d: int = 12, n_concepts: int = 8, seed: int = 0
) -> tuple[NDArray[np.float32], sparse.csr_array]:
    """Features of unlike scales and means, and concepts from common to rare that depend on them."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    features = latent * np.geomspace(0.01, 100, d) + np.linspace(-5, 50, d)
    odds = latent @ rng.standard_normal((d, n_concepts)) / d - np.linspace(0.5, 3.5, n_concepts)
    labels = rng.random((n, n_concepts)) < 1 / (1 + np.exp(-odds))
    return features.astype(np.float32), sparse.csr_array(labels)


def standardised(features: NDArray[np.float32]) -> Float64:
    x = features.astype(np.float64)
    deviation = x.std(axis=0)
    result: Float64 = (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return result


def probabilities(model: LogisticRegression, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sigmoid of the log-odds, (n_images, n_concepts)."""
    result: NDArray[np.float32] = special.expit(model.log_odds(features))
    return result


def objective(
    features: NDArray[np.float32],
    y: NDArray[np.bool_],
    w: Float64,
    b: float,
    c: float,
    counts: Float64 | None,
) -> float:
    """0.5 |w|^2 + C sum(counts log-loss) of weights for standardised features; counts (n,) of each image."""
    z = standardised(features) @ w + b
    losses = np.logaddexp(0, np.where(y, -z, z))
    return float(0.5 * w @ w + c * np.sum(losses if counts is None else counts * losses))


def oracle_objective(
    features: NDArray[np.float32],
    y: NDArray[np.bool_],
    c: float,
    class_weight: Literal["balanced"] | dict[int, float] | float | None = None,
) -> float:
    """What scikit-learn's lbfgs reaches; a number is what positives count."""
    theirs = {0: 1.0, 1: class_weight} if isinstance(class_weight, float) else class_weight
    fitted = Oracle(C=c, tol=1e-8, max_iter=20000, class_weight=theirs).fit(standardised(features), y)
    counts = compute_sample_weight(theirs, y)
    return objective(features, y, fitted.coef_[0], float(fitted.intercept_[0]), c, counts)


def reached_objective(
    features: NDArray[np.float32],
    y: NDArray[np.bool_],
    weights: NDArray[np.float32],
    intercept: float,
    c: float,
    class_weight: Literal["balanced"] | dict[int, float] | float | None = None,
) -> float:
    """The same of weights for features as they come: the standardisation is undone here."""
    x = features.astype(np.float64)
    w = weights.astype(np.float64) * x.std(axis=0)
    theirs = {0: 1.0, 1: class_weight} if isinstance(class_weight, float) else class_weight
    shifted = float(intercept + weights @ x.mean(axis=0))
    return objective(features, y, w, shifted, c, compute_sample_weight(theirs, y))
