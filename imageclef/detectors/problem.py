"""One fitting problem: rows and labels whose moments are known, to be solved for one C or for many."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse, special

from imageclef.detectors.lbfgs import Limits, Solution, minimise
from imageclef.detectors.moments import FeatureRows, Moments, StandardisedRows, take_moments
from imageclef.detectors.objective import Objective, Position
from imageclef.detectors.targets import ClassWeight, ClassWeights, Labels, indicator
from imageclef.errors import TrainingError
from imageclef.features.feature_set import Matrix


@dataclass(frozen=True)
class ConvergenceReport:
    """How the fit of each concept ended; losses and gradients are of the objective divided by C n.

    Attributes:
        converged: (n_concepts,) bool; False where `max_passes` or the precision of float32 ended the fit.
        degenerate: (n_concepts,) bool; no row or every row has the concept: weights 0, nothing to fit.
        passes: (n_concepts,) int64, passes over the rows that the concept took part in.
        losses: (n_concepts,) float64.
        gaps: (n_concepts,) float64, the estimated share of the loss above its optimum.
        gradient_norms: (n_concepts,) float64, the gradient's length on standardised features.
        total_passes: () int64, passes over the rows in all, with the one that takes the moments.
    """

    converged: NDArray[np.bool_]
    degenerate: NDArray[np.bool_]
    passes: NDArray[np.int64]
    losses: NDArray[np.float64]
    gaps: NDArray[np.float64]
    gradient_norms: NDArray[np.float64]
    total_passes: NDArray[np.int64]


@dataclass(frozen=True)
class Fit:
    """What solving gives: weights (n_concepts, n_features), intercepts (n_concepts,), and the report."""

    weights: NDArray[np.float32]
    intercepts: NDArray[np.float64]
    report: ConvergenceReport


class Problem:
    """Rows and labels, their moments, and the concepts that can be fitted.

    Attributes:
        digest: a sha256 in hexadecimal of everything that a position and a fit depend on, but C and limits.

    Args:
        features: (n_images, n_features), an array or a memory map.
        labels: (n_rows, n_concepts), line i for the i-th of `rows`, as `indicator` takes them.
        rows: (n_rows,) the images to fit on; all of them if None.
        device: of torch.
        block_rows: rows in memory at a time.
        class_weight: None, "balanced", or what a positive counts.

    Raises:
        TrainingError: a feature is not finite, or the shapes do not agree.
        ConfigError: a class weight is not a finite number above 0.
    """

    def __init__(
        self,
        features: Matrix | NDArray[np.float32],
        labels: sparse.csr_array,
        rows: NDArray[np.int64] | None,
        device: str,
        block_rows: int | None,
        class_weight: ClassWeight = None,
    ) -> None:
        chosen, positives = FeatureRows(features, rows, device, block_rows), indicator(labels)
        if len(chosen) == 0 or len(chosen) != positives.shape[0]:
            raise TrainingError(
                f"logistic regression: {len(chosen)} rows of features and {positives.shape[0]} of labels; "
                "expected as many of both, and at least one"
            )
        moments = take_moments(chosen, positives)
        self._n = len(chosen)
        self._prevalences = moments.prevalences
        weights = ClassWeights.of(class_weight, moments.prevalences)
        self._negatives = weights.negatives
        targets = Labels(positives, weights.ratios, chosen.device)
        self._objective = Objective(StandardisedRows(chosen, moments), moments, targets)
        fitted = np.flatnonzero((moments.prevalences > 0) & (moments.prevalences < 1))
        self._concepts = torch.from_numpy(fitted).to(chosen.device)
        self._uncounted_passes = 1
        self.digest = _digest(moments, positives, self._objective.basis, weights)

    def start(self) -> Position:
        """Every concept at the logit of its prevalence."""
        return self._objective.start().take(self._concepts)

    def start_from(
        self, weights: NDArray[np.float32], intercepts: NDArray[np.float64], c: float | NDArray[np.float64]
    ) -> Position:
        """Every concept at given weights, which costs one pass.

        Raises:
            TrainingError: the weights belong to another number of concepts or features.
        """
        expected = (len(self._prevalences), len(self._objective.spectrum) - 1)
        if weights.shape != expected:
            raise TrainingError(f"warm start: weights are {weights.shape}; expected {expected}")
        self._uncounted_passes += 1
        points = self._objective.unfold(weights, intercepts)[self._concepts]
        return self._objective.evaluate(points, self._concepts, self._ridges(c))

    def reweigh(self, position: Position, old: float, new: float) -> None:
        """Move a position from one C to another without reading a row."""
        self._objective.reweigh(position, self._ridges(old), self._ridges(new))

    def go_on(self) -> None:
        """The passes so far are in a report that was made earlier."""
        self._uncounted_passes = 0

    def solve(
        self,
        start: Position,
        c: float | NDArray[np.float64],
        limits: Limits,
        progress: Callable[[int], None] | None = None,
    ) -> tuple[Position, Fit]:
        """Minimise from a start, and say where every concept ended."""
        before = self._objective.passes
        solution = minimise(self._objective, start, self._concepts, self._ridges(c), limits, progress)
        self._uncounted_passes += self._objective.passes - before
        fit = self._fit(solution, limits)
        self._uncounted_passes = 0
        if progress is not None and len(self._concepts) < len(self._prevalences):
            progress(len(self._prevalences) - len(self._concepts))
        return solution.position, fit

    def _ridges(self, c: float | NDArray[np.float64]) -> torch.Tensor:
        """(n_fitted,) float32: r = 1 / (C n), of a loss in which a negative counts 1."""
        strengths = np.broadcast_to(np.asarray(c, dtype=np.float64), self._prevalences.shape)
        ridges = (1 / (strengths * self._n * self._negatives))[self._concepts.cpu().numpy()]
        return torch.from_numpy(ridges.astype(np.float32)).to(self._concepts.device)

    def _fit(self, solution: Solution, limits: Limits) -> Fit:
        fitted, position = self._concepts.cpu().numpy(), solution.position
        weights = np.zeros((len(self._prevalences), len(self._objective.spectrum) - 1), dtype=np.float32)
        # Half an image on the other side: a concept that none or all have is rare or common, not impossible.
        intercepts = special.logit(np.clip(self._prevalences, 0.5 / self._n, 1 - 0.5 / self._n))
        weights[fitted], intercepts[fitted] = self._objective.fold(position.points)
        gaps = self._spread(solution.gaps)
        degenerate = np.ones(len(weights), dtype=bool)
        degenerate[fitted] = False
        report = ConvergenceReport(
            converged=gaps <= limits.tolerance,
            degenerate=degenerate,
            passes=self._spread(solution.passes).astype(np.int64),
            losses=self._spread(position.losses) * self._negatives,
            gaps=gaps,
            gradient_norms=self._spread(torch.linalg.vector_norm(position.gradients, dim=1))
            * self._negatives,
            total_passes=np.asarray(self._uncounted_passes, dtype=np.int64),
        )
        return Fit(weights, intercepts, report)

    def _spread(self, values: torch.Tensor) -> NDArray[np.float64]:
        """(n_concepts,) with 0 for the concepts that were not fitted."""
        spread = np.zeros(len(self._prevalences))
        spread[self._concepts.cpu().numpy()] = values.cpu().numpy()
        return spread


def _digest(moments: Moments, labels: sparse.csr_array, basis: torch.Tensor, weights: ClassWeights) -> str:
    """Hash the exact moments: cached positions are valid only in this eigenbasis."""
    digest = hashlib.sha256(repr((labels.shape, basis.shape, basis.device.type)).encode())
    arrays = [getattr(moments, field.name) for field in fields(moments)]
    arrays += [basis.cpu().numpy(), labels.indptr, labels.indices, weights.negatives, weights.ratios]
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()
