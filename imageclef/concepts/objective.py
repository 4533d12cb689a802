"""The objective of all concepts at once, and one pass over the rows that evaluates it.

For one concept with labels y over n standardised rows x, ridge r = 1 / (C n) and a free intercept b:

    f(w, b) = mean(softplus(x.w + b)) - w.(X'y / n) - b mean(y) + r/2 |w|^2

which is scikit-learn's objective divided by C n. The labels enter through X'y / n and mean(y) only, so
a pass is two matrix products and a sigmoid. Points are kept in the eigenvectors' basis of the rows'
correlation, Q diag(e) Q': there the curvature near the start is the diagonal c e + r, c = mean(p (1 - p)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from imageclef.concepts.rows import Moments, StandardisedRows

LEAST_MARGIN = -40.0
"""Below it a sigmoid adds nothing, but its square is a denormal number, on which processors crawl."""


@dataclass
class Position:
    """Where some concepts stand.

    Attributes:
        points: (n_concepts, n_features + 1) float32, weights in the eigenbasis, then the intercept.
        losses: (n_concepts,) float64, f at the points.
        gradients: (n_concepts, n_features + 1) float32.
        curvatures: (n_concepts,) float32, mean(p (1 - p)) over the rows.
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

    Attributes:
        spectrum: (n_features + 1,) float32, the eigenvalues e, and 1 for the intercept.
        penalised: (n_features + 1,) float32, 1 where the ridge applies and 0 at the intercept.
        passes: passes over the rows so far.
    """

    def __init__(self, rows: StandardisedRows, moments: Moments) -> None:
        self._rows = rows
        device = rows.device
        self._scale = moments.scale
        self._centre = moments.centre
        values, basis = torch.linalg.eigh(torch.from_numpy(moments.correlation).to(device))
        self._basis = basis.float()
        self._offset = torch.from_numpy(moments.offset).to(device) @ self._basis.double()
        one = torch.ones(1, device=device)
        self.spectrum = torch.cat([values.clamp(min=0.0).float(), one])
        self.penalised = torch.cat([torch.ones_like(values).float(), 0.0 * one])
        self._prevalences = torch.from_numpy(moments.prevalences).to(device)
        # With the basis as it is used, rounded: losses far below their terms feel the difference.
        products = torch.from_numpy(moments.label_products).to(device) @ self._basis.double()
        self._linear = torch.cat([products, self._prevalences[:, None]], dim=1)
        self.passes = 0

    def start(self) -> Position:
        """Weights 0 and the intercept at the logit of the prevalence: known without reading a row."""
        p = self._prevalences
        points = torch.zeros_like(self._linear, dtype=torch.float32)
        points[:, -1] = torch.logit(p).float()
        slopes = torch.cat([p[:, None] * self._offset, p[:, None]], dim=1)
        losses = -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))
        return Position(points, losses, (slopes - self._linear).float(), (p * (1 - p)).float())

    def evaluate(self, points: torch.Tensor, concepts: torch.Tensor, ridges: torch.Tensor) -> Position:
        """One fused pass over the rows.

        Args:
            points: (n_moving, n_features + 1).
            concepts: (n_moving,) which concept each point belongs to.
            ridges: (n_moving,) float32, r of each.
        """
        n, weights, intercepts = len(self._rows), points[:, :-1] @ self._basis.T, points[:, -1]
        sums = torch.zeros(3, len(points), dtype=torch.float64, device=points.device)
        products = torch.zeros_like(weights, dtype=torch.float64)
        margins = torch.empty(self._rows.block_rows, len(points), device=points.device)
        for block in self._rows.blocks():
            z = torch.addmm(intercepts, block, weights.T, out=margins[: len(block)]).clamp_(min=LEAST_MARGIN)
            sums[0] += torch.nn.functional.softplus(z).sum(0)
            p = z.sigmoid_()
            sums[1] += p.sum(0)
            sums[2] += p.square().sum(0)
            products += p.T @ block
        self.passes += 1
        softplus, p_mean, p_square = sums / n
        linear = self._linear[concepts]
        shrinkage = ridges[:, None] * self.penalised * points
        slopes = torch.cat([(products / n) @ self._basis.double(), p_mean[:, None]], dim=1)
        losses = softplus + (points * (shrinkage / 2 - linear)).sum(1)
        return Position(points, losses, (slopes - linear).float() + shrinkage, (p_mean - p_square).float())

    def reweigh(self, position: Position, old: torch.Tensor, new: torch.Tensor) -> None:
        """Move a position of all concepts from one ridge to another, without reading a row."""
        weights = (new - old)[:, None] * self.penalised * position.points
        position.losses += 0.5 * (weights * position.points).sum(1, dtype=torch.float64)
        position.gradients += weights

    def fold(self, points: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Weights (n_concepts, n_features) and intercepts (n_concepts,) for rows as they come."""
        weights = (points[:, :-1].double() @ self._basis.double().T).cpu().numpy() / self._scale
        intercepts = points[:, -1].double().cpu().numpy() - weights @ self._centre
        return weights.astype(np.float32), intercepts

    def unfold(self, weights: NDArray[np.float32], intercepts: NDArray[np.float64]) -> torch.Tensor:
        """The inverse of `fold`: points (n_concepts, n_features + 1)."""
        scale = np.where(np.isfinite(self._scale), self._scale, 0.0)
        device = self._basis.device
        standardised = torch.from_numpy(weights * scale).to(device) @ self._basis.double()
        shifted = torch.from_numpy(intercepts + weights @ self._centre).to(device)
        return torch.cat([standardised, shifted[:, None]], dim=1).float()
