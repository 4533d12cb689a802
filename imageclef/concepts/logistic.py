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
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse, special

from imageclef.concepts.lbfgs import Limits
from imageclef.concepts.problem import ConvergenceReport, Fit, Problem
from imageclef.concepts.rows import FeatureRows
from imageclef.errors import ConfigError, DataError


class LogisticRegression:
    """L2-regularised logistic regression of many concepts on shared features.

    Args:
        c: scikit-learn's C, the weight of the data against 0.5 |w|^2; one number, or (n_concepts,).
        tolerance: a concept is done when g' H g / 2 is below this share of its loss; H is the inverse of
            the mean curvature, g the gradient. It is about the share of the loss that is left to gain.
        max_passes: over the rows, for any concept. What has not converged by then is in the report.
        device: "cpu", "cuda" or any other device of torch.
        block_rows: rows in memory at a time; by default 8,192 on the CPU and 65,536 on CUDA.

    Attributes:
        weights: (n_concepts, n_features) float32, for features as they come.
        intercepts: (n_concepts,) float64.
        report: how each concept's fit ended.
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
    ) -> None:
        if not (np.all(np.isfinite(c)) and np.all(np.asarray(c) > 0)):
            raise ConfigError(f"logistic regression: c is {c}; expected finite numbers above 0")
        if not 0 < tolerance < 1:
            raise ConfigError(f"logistic regression: tolerance is {tolerance}; expected between 0 and 1")
        self.c = c
        self.tolerance = tolerance
        self.max_passes = max_passes
        self.device = device
        self.block_rows = block_rows

    def fit(
        self,
        features: NDArray[np.float32],
        labels: sparse.csr_array,
        rows: NDArray[np.int64] | None = None,
        warm_start: LogisticRegression | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Self:
        """Fit every concept.

        Args:
            features: (n_images, n_features), an array or a memory map.
            labels: (n_rows, n_concepts), sparse, line i for the i-th of `rows`; not 0 is a positive.
            rows: (n_rows,) the rows of `features` to fit on; all by default.
            warm_start: a fitted model of the same shape to start from, say of another C or of a fit
                that ended at `max_passes`.
            progress: called after a pass with the number of concepts that it finished.

        Raises:
            TrainingError: a feature is not finite, or the shapes do not agree.
        """
        problem = Problem(features, labels, rows, self.device, self.block_rows)
        if warm_start is None:
            start = problem.start()
        else:
            start = problem.start_from(warm_start.weights, warm_start.intercepts, self.c)
        _, fit = problem.solve(start, self.c, Limits(self.tolerance, self.max_passes), progress)
        return self._take(fit)

    def _take(self, fit: Fit) -> Self:
        self.weights, self.intercepts, self.report = fit.weights, fit.intercepts, fit.report
        return self

    def decision_function(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-odds (n_images, n_concepts) of features (n_images, n_features)."""
        if features.shape[1] != self.weights.shape[1]:
            raise DataError(
                f"features have {features.shape[1]} columns; "
                f"expected {self.weights.shape[1]}, as the classifier was fitted on"
            )
        rows = FeatureRows(features, None, self.device, self.block_rows)
        weights = torch.from_numpy(self.weights).to(rows.device).T
        intercepts = torch.from_numpy(self.intercepts.astype(np.float32)).to(rows.device)
        scores = np.empty((len(features), len(self.weights)), dtype=np.float32)
        for where, block in rows.blocks():
            scores[where] = torch.addmm(intercepts, block, weights).cpu().numpy()
        return scores

    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (n_images, n_concepts) of features (n_images, n_features)."""
        scores = self.decision_function(features)
        probabilities: NDArray[np.float32] = special.expit(scores, out=scores)
        return probabilities

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything learned, as arrays by name."""
        named = {field.name: np.asarray(getattr(self.report, field.name)) for field in fields(self.report)}
        return {"weights": self.weights, "intercepts": self.intercepts, "c": np.asarray(self.c), **named}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.generic]], device: str = "cpu") -> Self:
        """A fitted model from what `state` returned."""
        values = {name: np.asarray(value) for name, value in state.items()}
        model = cls(c=values["c"].item() if values["c"].ndim == 0 else values["c"], device=device)
        model.weights, model.intercepts = values["weights"], values["intercepts"]
        model.report = ConvergenceReport(
            **{field.name: values[field.name] for field in fields(ConvergenceReport)}
        )
        return model


def regularisation_path(
    features: NDArray[np.float32],
    labels: sparse.csr_array,
    cs: Sequence[float],
    rows: NDArray[np.int64] | None = None,
    tolerance: float = 1e-7,
    max_passes: int = 500,
    device: str = "cpu",
    block_rows: int | None = None,
    progress: Callable[[int], None] | None = None,
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

    Returns:
        The models in the order of `cs`.

    Raises:
        TrainingError: a feature is not finite, or the shapes do not agree.
    """
    problem = Problem(features, labels, rows, device, block_rows)
    position, models = problem.start(), {}
    last = min(cs)
    for c in sorted(set(cs)):
        problem.reweigh(position, last, c)
        position, fit = problem.solve(position, c, Limits(tolerance, max_passes), progress)
        models[c] = LogisticRegression(c, tolerance, max_passes, device, block_rows)._take(fit)
        last = c
    return [models[c] for c in cs]
