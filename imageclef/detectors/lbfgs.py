"""L-BFGS on many concepts at once: each with its own memory, step and end, all in one pass over the rows.

    direction = -H gradient                     H: the last 20 pairs upon diag(1 / (c e + r)), damped
    evaluate at point + direction               one pass, for every concept that still moves
    remember (step, change of gradient)         also of a step that is not taken: it holds for convex f
    take the step if the loss fell, or if the slope at its end still falls
    leave, once the loss that may be left is below tolerance x loss

A refused step halves the damping; a taken one lets it grow slowly back to 1.

Reference:
    Nocedal, "Updating quasi-Newton matrices with limited storage", Math. Comp. 35 (1980).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch

from imageclef.detectors.objective import Objective, Position
from imageclef.errors import ConfigError

MEMORY = 20
HISTORY_BYTES = 512 * 2**20
"""Concepts advance in windows whose memory of pairs fits into this; their answers do not depend on it."""

FIRST_DAMPING = 0.5
"""The curvature along the first direction was found to be about twice what a constant p says."""
RECOVERY = 1.05
LOSS_NOISE = 2e-7
"""A relative rise of the loss that float32 cannot tell from a fall."""
STALLED = 12
"""Refusals in a row after which float32 has no better point to offer."""


@dataclass(frozen=True)
class Limits:
    """When a concept leaves.

    Attributes:
        tolerance: of g' H g / (2 f), the relative gap that a quadratic with the mean curvature would have.
        max_passes: after which it leaves as it stands.

    Raises:
        ConfigError: the tolerance is not between 0 and 1, or the passes are negative.
    """

    tolerance: float
    max_passes: int

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise ConfigError(f"logistic regression: tolerance is {self.tolerance}; expected between 0 and 1")
        if self.max_passes < 0:
            raise ConfigError(f"logistic regression: max_passes is {self.max_passes}; expected 0 or more")


@dataclass
class Solution:
    """Where the concepts ended.

    Attributes:
        position: of all concepts.
        gaps: (n_concepts,) float64, the estimated share of the loss above the optimum.
        passes: (n_concepts,) int64, passes until each left.
    """

    position: Position
    gaps: torch.Tensor
    passes: torch.Tensor


def minimise(
    objective: Objective,
    start: Position,
    concepts: torch.Tensor,
    ridges: torch.Tensor,
    limits: Limits,
    progress: Callable[[int], None] | None = None,
) -> Solution:
    """Minimise the objective of every concept.

    Args:
        objective: evaluates any of the concepts.
        start: where they stand.
        concepts: (n_concepts,) their numbers in the objective.
        ridges: (n_concepts,) float32.
        limits: when a concept leaves.
        progress: called after a pass with the number of concepts that left.
    """
    everyone = torch.arange(len(concepts), device=concepts.device)
    solution = Solution(start.take(everyone), torch.zeros_like(start.losses), torch.zeros_like(concepts))
    window = max(1, HISTORY_BYTES // (8 * MEMORY * len(objective.spectrum)))
    for first in range(0, len(everyone), window):
        part = everyone[first : first + window]
        descent = Descent(objective, start.take(part), concepts[part], ridges[part])
        _finish(descent, part, solution, limits, progress)
    return solution


def _finish(
    descent: Descent,
    moving: torch.Tensor,
    solution: Solution,
    limits: Limits,
    progress: Callable[[int], None] | None,
) -> None:
    """Advance until every concept has left, and enter each in the solution."""
    for number in range(limits.max_passes + 1):
        gaps = descent.gaps()
        leaving = (gaps <= limits.tolerance) | descent.stalled() | (number == limits.max_passes)
        if bool(leaving.any()):
            left = moving[leaving]
            solution.position.put(left, descent.position.take(leaving))
            solution.gaps[left], solution.passes[left] = gaps[leaving], number
            if progress is not None:
                progress(len(left))
            moving = moving[~leaving]
            descent.keep(~leaving)
        if len(moving) == 0:
            return
        descent.advance()


class Descent:
    """The state of the concepts that still move."""

    def __init__(
        self, objective: Objective, start: Position, concepts: torch.Tensor, ridges: torch.Tensor
    ) -> None:
        self.position = start
        self._objective = objective
        self._concepts = concepts
        self._ridges = ridges
        self._damping = torch.full_like(ridges, FIRST_DAMPING)
        self._refusals = torch.zeros_like(ridges)
        self._pairs: deque[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = deque(maxlen=MEMORY)

    def gaps(self) -> torch.Tensor:
        """(n_moving,) float64: g' H g / (2 f) with the plain diagonal H."""
        energy = (self.position.gradients.square() * self._inverse_curvature()).sum(1, dtype=torch.float64)
        return energy / (2 * self.position.losses.clamp(min=1e-30))

    def stalled(self) -> torch.Tensor:
        """(n_moving,) bool: no shorter step was better."""
        return self._refusals >= STALLED

    def advance(self) -> None:
        """One pass: a trial step of every concept, taken or refused by each for itself."""
        here = self.position
        step = self._direction() * torch.exp2(1 - self._refusals.clamp(min=1))[:, None]
        trial = self._objective.evaluate(here.points + step, self._concepts, self._ridges)
        slope = (step * here.gradients).sum(1, dtype=torch.float64)
        still_falls = (step * trial.gradients).sum(1) <= 0
        taken = still_falls | (trial.losses <= here.losses * (1 + LOSS_NOISE) + 1e-4 * slope)
        change = trial.gradients - here.gradients
        product = (step * change).sum(1)
        # Rounding can make the product of a tiny pair negative; such a pair is kept without weight.
        weight = torch.where(product > torch.finfo(product.dtype).tiny, 1 / product, 0.0)
        self._pairs.append((step, change, weight))
        self._damping = torch.where(taken, (self._damping * RECOVERY).clamp(max=1.0), self._damping / 2)
        self._refusals = torch.where(taken, 0.0, self._refusals + 1)
        here.put(taken, trial.take(taken))

    def keep(self, mask: torch.Tensor) -> None:
        """Go on with some of the concepts."""
        self.position = self.position.take(mask)
        self._concepts, self._ridges = self._concepts[mask], self._ridges[mask]
        self._damping, self._refusals = self._damping[mask], self._refusals[mask]
        self._pairs = deque(((s[mask], y[mask], w[mask]) for s, y, w in self._pairs), maxlen=MEMORY)

    def _inverse_curvature(self) -> torch.Tensor:
        curvatures = self.position.curvatures.clamp(min=1e-12)[:, None] * self._objective.spectrum
        return 1 / (curvatures + self._ridges[:, None] * self._objective.penalised)

    def _direction(self) -> torch.Tensor:
        """-H gradient by the two loops of the paper."""
        q = self.position.gradients.neg()
        shares = []
        for step, change, weight in reversed(self._pairs):
            share = weight * torch.linalg.vecdot(step, q)
            q.addcmul_(share[:, None], change, value=-1)
            shares.append(share)
        q *= self._inverse_curvature() * self._damping[:, None]
        for (step, change, weight), share in zip(self._pairs, reversed(shares), strict=True):
            q.addcmul_((share - weight * torch.linalg.vecdot(change, q))[:, None], step)
        return q
