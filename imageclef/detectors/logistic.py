"""Logistic regression of all concepts jointly: one linear layer and a sigmoid per concept.

For every concept it minimises scikit-learn's objective on standardised features,

    0.5 |w|^2 + C sum_i log(1 + exp(-y_i (x_i.w + b)))        y_i in {-1, 1}, the intercept b free,

with an L-BFGS of its own (`lbfgs.py`), all of them advancing in one pass over the rows (`objective.py`).
Rows are read in blocks from memory or a memory map (`rows.py`); labels stay sparse. The standardisation
is folded into the weights, so that an answer is one product with the features as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from imageclef.detectors.fit_cache import FitCache
from imageclef.detectors.lbfgs import Limits
from imageclef.detectors.moments import FeatureRows
from imageclef.detectors.problem import ConvergenceReport, Fit, Problem
from imageclef.detectors.targets import ClassWeight
from imageclef.errors import ConfigError, DataError
from imageclef.features.feature_set import Matrix


class LogisticRegression:
    """L2-regularised logistic regression of many concepts on shared features.

    Args:
        c: scikit-learn's C, the weight of the data against 0.5 |w|^2; one number, or (n_concepts,).
        tolerance: a concept is done when g' H g / 2 is below this share of its loss; H is the inverse of
            the mean curvature, g the gradient. It is about the share of the loss that is left to gain.
        max_passes: over the rows, for any concept. What has not converged by then is in the report.
        device: "cpu", "cuda" or any other device of torch.
        block_rows: rows in memory at a time; by default 8,192 on the CPU and 65,536 on CUDA.
        class_weight: None, every image counts 1; "balanced", an image counts n / (2 n_class); a number, which
            positives count while negatives count 1.

    Attributes:
        weights: (n_concepts, n_features) float32, for features as they come.
        intercepts: (n_concepts,) float64.
        report: how each concept's fit ended.

    Raises:
        ConfigError: c is not a finite number above 0.
    """

    weights: NDArray[np.float32]
    intercepts: NDArray[np.float64]
    report: ConvergenceReport

    def __init__(
        self,
        c: float | NDArray[np.float64] = 1.0,
        tolerance: float = 1e-7,
        max_passes: int = 500,
        device: str = "cpu",
        block_rows: int | None = None,
        class_weight: ClassWeight = None,
    ) -> None:
        _check_strengths(c)
        self.c = c
        self.limits = Limits(tolerance, max_passes)
        self.device = device
        self.block_rows = block_rows
        self.class_weight = class_weight

    def fit(
        self,
        features: Matrix | NDArray[np.float32],
        labels: sparse.csr_array,
        rows: NDArray[np.int64] | None = None,
        warm_start: LogisticRegression | None = None,
    ) -> Self:
        """Fit every concept.

        Args:
            features: (n_images, n_features), an array or a memory map.
            labels: (n_rows, n_concepts), line i for the i-th of `rows`; anything but 0 is a positive.
            rows: (n_rows,) the rows of `features` to fit on; all by default.
            warm_start: a fitted model of the same shape to start from, say of another C or of a fit
                that ended at `max_passes`.

        Raises:
            ConfigError: a class weight is not what it has to be.
            TrainingError: a feature is not finite, or the shapes do not agree.
        """
        problem = Problem(features, labels, rows, self.device, self.block_rows, self.class_weight)
        if warm_start is None:
            start = problem.start()
        else:
            start = problem.start_from(warm_start.weights, warm_start.intercepts, self.c)
        _, fit = problem.solve(start, self.c, self.limits)
        return self.take(fit)

    def take(self, fit: Fit) -> Self:
        """Answer with what was fitted."""
        self.weights, self.intercepts, self.report = fit.weights, fit.intercepts, fit.report
        return self

    def log_odds(self, features: Matrix | NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-odds (n_images, n_concepts) of features (n_images, n_features).

        Raises:
            DataError: the features have another number of columns than those that it was fitted on.
        """
        rows = FeatureRows(features, None, self.device, self.block_rows)
        if rows.n_features != self.weights.shape[1]:
            raise DataError(
                f"features have {rows.n_features} columns; "
                f"expected {self.weights.shape[1]}, as the classifier was fitted on"
            )
        weights = torch.from_numpy(self.weights).to(rows.device).T
        intercepts = torch.from_numpy(self.intercepts.astype(np.float32)).to(rows.device)
        scores = np.empty((len(rows), len(self.weights)), dtype=np.float32)
        for where, block in rows.blocks():
            scores[where] = torch.addmm(intercepts, block, weights).cpu().numpy()
        return scores

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything learned, as arrays by name."""
        named = {field.name: np.asarray(getattr(self.report, field.name)) for field in fields(self.report)}
        return {"weights": self.weights, "intercepts": self.intercepts, "c": np.asarray(self.c), **named}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """A fitted model from what `state` returned."""
        c = np.asarray(state["c"])
        report = ConvergenceReport(**{field.name: state[field.name] for field in fields(ConvergenceReport)})
        model = cls(c.item() if c.ndim == 0 else c)
        return model.take(Fit(state["weights"], state["intercepts"], report))


def regularisation_path(
    features: Matrix | NDArray[np.float32],
    labels: sparse.csr_array,
    cs: Sequence[float],
    rows: NDArray[np.int64] | None = None,
    tolerance: float = 1e-7,
    max_passes: int = 500,
    device: str = "cpu",
    block_rows: int | None = None,
    progress: Callable[[int], None] | None = None,
    class_weight: ClassWeight = None,
    cache: Path | None = None,
) -> list[LogisticRegression]:
    """One model for each C, from the strongest regularisation to the weakest, each starting at the last.

    The moments of the rows are taken once, and a position is moved to the next C without reading a row.

    Args:
        features: (n_images, n_features), an array or a memory map.
        labels: (n_rows, n_concepts), sparse, line i for the i-th of `rows`.
        cs: in any order.
        rows: (n_rows,) the rows of `features` to fit on; all by default.
        tolerance: see `LogisticRegression`, as for the three that follow.
        max_passes: for each C.
        device: of torch.
        block_rows: rows in memory at a time.
        progress: called after a pass with the number of concepts it finished; in all n_concepts for each C.
        class_weight: see `LogisticRegression`.
        cache: a folder where the fit of each C is stored as soon as it ended. A later call with the same
            arguments goes on after the last one and ends with the same numbers. A file that is damaged, or
            was made with other arguments or data, is made anew.

    Returns:
        The models in the order of `cs`.

    Raises:
        ConfigError: a C or another argument is not what it has to be.
        TrainingError: a feature is not finite, or the shapes do not agree.
    """
    _check_strengths(cs)
    limits = Limits(tolerance, max_passes)
    problem = Problem(features, labels, rows, device, block_rows, class_weight)
    position, models, last, tried = problem.start(), {}, min(cs), []
    for c in sorted({float(c) for c in cs}):
        tried.append(c)
        fits = FitCache(cache, repr((problem.digest, tried, limits, block_rows)))
        stored = fits.load(c, position.points.device)
        if stored is None:
            problem.reweigh(position, last, c)
            position, fit = problem.solve(position, c, limits, progress)
            fits.save(c, position, fit)
        else:
            position, fit = stored
            problem.go_on()
            if progress is not None:
                progress(len(fit.weights))
        models[c] = LogisticRegression(c, tolerance, max_passes, device, block_rows, class_weight).take(fit)
        last = c
    return [models[c] for c in cs]


def _check_strengths(c: float | Sequence[float] | NDArray[np.float64]) -> None:
    if not (np.size(c) and np.all(np.isfinite(c)) and np.all(np.asarray(c) > 0)):
        raise ConfigError(f"logistic regression: c is {c}; expected finite numbers above 0")
