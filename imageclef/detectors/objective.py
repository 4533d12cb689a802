"""The objective of all concepts at once, and one pass over the rows that evaluates it.

For one concept with labels y over n standardised rows x, ridge r = 1 / (C n) and a free intercept b:

    f(w, b) = mean(q softplus(-+ (x.w + b))) + r/2 |w|^2      - for a positive, + for a negative

which is scikit-learn's objective divided by C n; q is 1 for a negative and what it counts for a positive.
A pass is two matrix products and a sigmoid. Positives are few and enter by index: their margins change
sign where they stand, so that everything summed is what is missed, and nothing large is subtracted again.
Points are kept in the eigenvectors' basis of the rows' correlation, Q diag(e) Q': there the curvature near
the start is the diagonal c e + r, c = mean(q p (1 - p)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import softplus

from imageclef.detectors.moments import Moments, StandardisedRows
from imageclef.detectors.targets import Labels, Positives

LEAST_MARGIN = -40.0
"""Below it a sigmoid adds nothing, but its square is a denormal number, on which processors crawl."""


@dataclass
class Position:
    """Where some concepts stand.

    Attributes:
        points: (n_concepts, n_features + 1) float32, weights in the eigenbasis, then the intercept.
        losses: (n_concepts,) float64, f at the points.
        gradients: (n_concepts, n_features + 1) float32.
        curvatures: (n_concepts,) float32, mean(p (1 - p)) over the rows, each as often as it counts.
    """

    points: torch.Tensor
    losses: torch.Tensor
    gradients: torch.Tensor
    curvatures: torch.Tensor

    def take(self, index: torch.Tensor) -> Position:
        """A copy of the concepts at an index or under a mask."""
        return Position(self.points[index], self.losses[index], self.gradients[index], self.curvatures[index])

    def put(self, index: torch.Tensor, other: Position) -> None:
        """Overwrite the concepts at an index."""
        self.points[index] = other.points
        self.losses[index] = other.losses
        self.gradients[index] = other.gradients
        self.curvatures[index] = other.curvatures


class Objective:
    """The logistic objective of every concept over the same rows.

    Args:
        rows: standardised by `moments`.
        moments: of the rows and their labels.
        labels: of the same rows.

    Attributes:
        basis: (n_features, n_features) float32, Q, an eigenvector in each column.
        spectrum: (n_features + 1,) float32, the eigenvalues e, and 1 for the intercept.
        penalised: (n_features + 1,) float32, 1 where the ridge applies and 0 at the intercept.
        passes: passes over the rows so far.
    """

    def __init__(self, rows: StandardisedRows, moments: Moments, labels: Labels) -> None:
        self._rows = rows
        self._labels = labels
        device = rows.device
        self._scale = moments.scale
        self._centre = moments.centre
        values, basis = torch.linalg.eigh(torch.from_numpy(moments.correlation).to(device))
        self.basis = basis.float()
        self._offset = torch.from_numpy(moments.offset).to(device) @ self.basis.double()
        one = torch.ones(1, device=device)
        self.spectrum = torch.cat([values.clamp(min=0.0).float(), one])
        self.penalised = torch.cat([torch.ones_like(values).float(), 0.0 * one])
        self._prevalences = torch.from_numpy(moments.prevalences).to(device)
        products = torch.from_numpy(moments.label_products).to(device) @ self.basis.double()
        self._label_products = torch.cat([products, self._prevalences[:, None]], dim=1)
        self.passes = 0

    def start(self) -> Position:
        """Weights 0 and the intercept at the best there is for them: known without reading a row."""
        counts = self._labels.counts
        total = 1 + (counts - 1) * self._prevalences
        p = counts * self._prevalences / total
        points = torch.zeros_like(self._label_products, dtype=torch.float32)
        points[:, -1] = torch.logit(p).float()
        slopes = torch.cat([p[:, None] * self._offset, p[:, None]], dim=1)
        pulls = (p + counts * (1 - p))[:, None] * self._label_products
        losses = -total * (torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))
        return Position(points, losses, (slopes - pulls).float(), (total * p * (1 - p)).float())

    def evaluate(self, points: torch.Tensor, concepts: torch.Tensor, ridges: torch.Tensor) -> Position:
        """One fused pass over the rows.

        Args:
            points: (n_moving, n_features + 1).
            concepts: (n_moving,) which concept each point belongs to.
            ridges: (n_moving,) float32, r of each.
        """
        n, weights, intercepts = len(self._rows), points[:, :-1] @ self.basis.T, points[:, -1]
        # Of the loss, of the slope along the intercept, and of the curvature.
        sums = torch.zeros(3, len(points), dtype=torch.float64, device=points.device)
        products = torch.zeros_like(weights, dtype=torch.float64)
        margins = torch.empty(self._rows.block_rows, len(points), device=points.device)
        blocks = zip(self._rows.blocks(), self._labels.blocks(concepts, self._rows.block_rows), strict=True)
        for block, positives in blocks:
            z = torch.addmm(intercepts, block, weights.T, out=margins[: len(block)])
            missed = _miss(z, positives, sums)
            products += missed.T @ block
        self.passes += 1
        loss, slope, curvature = sums / n
        shrinkage = ridges[:, None] * self.penalised * points
        slopes = torch.cat([(products / n) @ self.basis.double(), slope[:, None]], dim=1)
        losses = loss + (points * shrinkage).sum(1, dtype=torch.float64) / 2
        return Position(points, losses, slopes.float() + shrinkage, curvature.float())

    def reweigh(self, position: Position, old: torch.Tensor, new: torch.Tensor) -> None:
        """Move a position of all concepts from one ridge to another, without reading a row."""
        weights = (new - old)[:, None] * self.penalised * position.points
        position.losses += 0.5 * (weights * position.points).sum(1, dtype=torch.float64)
        position.gradients += weights

    def fold(self, points: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Weights (n_concepts, n_features) and intercepts (n_concepts,) for rows as they come."""
        weights = (points[:, :-1].double() @ self.basis.double().T).cpu().numpy() / self._scale
        intercepts = points[:, -1].double().cpu().numpy() - weights @ self._centre
        return weights.astype(np.float32), intercepts

    def unfold(self, weights: NDArray[np.float32], intercepts: NDArray[np.float64]) -> torch.Tensor:
        """The inverse of `fold`: points (n_concepts, n_features + 1)."""
        scale = np.where(np.isfinite(self._scale), self._scale, 0.0)
        device = self.basis.device
        standardised = torch.from_numpy(weights * scale).to(device) @ self.basis.double()
        shifted = torch.from_numpy(intercepts + weights @ self._centre).to(device)
        return torch.cat([standardised, shifted[:, None]], dim=1).float()


def _miss(margins: torch.Tensor, positives: Positives, sums: torch.Tensor) -> torch.Tensor:
    """What a block of rows adds to the sums, and the slope of each row's loss along its margin.

    Args:
        margins: (n_block, n_moving), overwritten by the slopes that are returned.
        positives: of this block.
        sums: (3, n_moving) float64, added to.
    """
    at = positives.rows, positives.columns
    z = margins.index_put_(at, -margins[at]).clamp_(min=LEAST_MARGIN)
    at_positives = z[at]
    sums[0] += softplus(z).sum(0)
    missed = z.sigmoid_()
    sums[2] += missed.sum(0) - missed.square().sum(0)
    share = missed[at]
    if positives.extra is not None:
        again = torch.stack([softplus(at_positives), share * (1 - share)]) * positives.extra
        sums[::2].index_add_(1, positives.columns, again.double())
        share = share + share * positives.extra
    slopes = missed.index_put_(at, -share)
    sums[1] += slopes.sum(0)
    return slopes
