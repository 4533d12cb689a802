"""How far a score would move with other patients: a bootstrap over groups.

Images of one patient or study resemble each other, so groups are drawn, not images. Of G groups G are drawn
with replacement, 2,000 times, and every figure is computed again from the images drawn:

    figure = sum of numerators / sum of denominators      (a mean has denominators of 1)

A 95 % interval is cut at the percentiles 2.5 and 97.5 of the draws. All figures see the same draws: their
differences are paired.

Reference: Field and Welsh, "Bootstrapping clustered data", J. R. Stat. Soc. B 69 (2007).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
LEVEL = 0.95
_CELLS = 2**21
"""Groups counted at once: 16 MB for each of the few arrays of a block."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval.

    Attributes:
        value: on the images as they are; None where it is not defined.
        low: of the 95 % interval; None where there is none, as with a single group.
        high: likewise.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class GroupBootstrap:
    """Draws of groups; the same ones whenever it is asked.

    Attributes:
        groups: (n_images,) the number of each image's group, from 0 without a gap.
        draws: how many.
        seed: of the draws.
    """

    groups: NDArray[np.int64]
    draws: int = DRAWS
    seed: int = 0

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return int(self.groups.max()) + 1

    def ratios(self, numerators: Floats, denominators: Floats) -> Floats:
        """The figures on every draw.

        Args:
            numerators: (n_images, n_figures).
            denominators: (n_images, n_figures), not negative.

        Returns:
            (draws, n_figures); NaN where a draw has nothing of a figure's denominator, and in every draw for
            a figure that lives in one group alone, whose draws would all be the same.
        """
        above, below = self._by_group(numerators), self._by_group(denominators)
        result = np.empty((self.draws, above.shape[1]))
        done = 0
        for counts in self._counts():
            part = slice(done, done + len(counts))
            drawn = counts @ below
            result[part] = (counts @ above) / np.where(drawn > 0, drawn, np.nan)
            done += len(counts)
        result[:, np.count_nonzero(below, axis=0) < 2] = np.nan
        return result

    def _by_group(self, values: Floats) -> Floats:
        columns = [np.bincount(self.groups, weights=column, minlength=self.n_groups) for column in values.T]
        return np.stack(columns, axis=1)

    def _counts(self) -> Iterator[Floats]:
        """How often each group is drawn, (some draws, n_groups) at a time."""
        rng, n = np.random.default_rng(self.seed), self.n_groups
        block = max(1, _CELLS // n)
        for start in range(0, self.draws, block):
            size = min(block, self.draws - start)
            drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
            yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def estimates(values: Floats, draws: Floats) -> list[Estimate]:
    """Figures with their intervals.

    Args:
        values: (n_figures,), NaN where one is not defined.
        draws: (n_draws, n_figures), NaN where a draw does not have it.
    """
    tails = [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2]
    found = []
    for value, column in zip(values.tolist(), draws.T, strict=True):
        column = column[np.isfinite(column)]
        low, high = np.percentile(column, tails).tolist() if len(column) else (None, None)
        found.append(Estimate(value if np.isfinite(value) else None, low, high))
    return found
