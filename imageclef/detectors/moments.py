"""Rows of features, read in blocks: nothing here grows with their number.

One pass takes the moments that the solver starts from; every further pass reads standardised blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from imageclef.errors import DataError, TrainingError
from imageclef.features.feature_set import Matrix

CPU_BLOCK = 8192
CUDA_BLOCK = 65536
"""Rows of a block: the products run at full speed, and it takes 32 MB for 512 columns and 500 concepts."""

RESIDENT_SHARE = 0.5
"""Of a CUDA device's free memory: standardised rows that fit into it stay there between passes."""


class FeatureRows:
    """The chosen rows of a feature matrix, as float32 blocks on a device.

    Args:
        features: (n_images, n_features), an array, a memory map or a `Matrix`.
        rows: (n_rows,) the rows to take, in any order; all of them by default.
        device: where the blocks are handed out.
        block_rows: the most rows of a block; by default what suits the device.

    Raises:
        DataError: the features are not a matrix.
    """

    def __init__(
        self,
        features: Matrix | ArrayLike,
        rows: NDArray[np.int64] | None,
        device: str,
        block_rows: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.block_rows = block_rows or (CUDA_BLOCK if self.device.type == "cuda" else CPU_BLOCK)
        # What is read in blocks, such as a memory map, has to stay as it is.
        self._features: Matrix = (
            cast(Matrix, features) if hasattr(features, "shape") else np.asarray(features)
        )
        if len(self._features.shape) != 2:
            raise DataError(f"features have shape {self._features.shape}; expected (n_images, n_features)")
        self.n_features = int(self._features.shape[1])
        self._rows = rows

    def __len__(self) -> int:
        return len(self._features if self._rows is None else self._rows)

    def image_row(self, position: int) -> int:
        """The row of the whole matrix that stands at this position."""
        return position if self._rows is None else int(self._rows[position])

    def blocks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield positions and their rows (n_block, n_features); the tensor is overwritten by the next one."""
        # Of torch, whose memory is aligned: products of the same rows are then the same in every process.
        buffer = torch.empty(min(self.block_rows, len(self)), self.n_features, dtype=torch.float32)
        for start in range(0, len(self), self.block_rows):
            where = slice(start, min(start + self.block_rows, len(self)))
            block = buffer[: where.stop - start]
            source = where if self._rows is None else self._rows[where]
            np.copyto(block.numpy(), self._features[source], casting="same_kind")
            yield where, block.to(self.device)


@dataclass(frozen=True)
class Moments:
    """What one pass over n rows X and their labels Y takes down; "standardised" is (x - centre) / scale.

    Centre and scale are numbers of float32, so that passes in float32 standardise by exactly these.

    Attributes:
        centre: (n_features,) float64, the mean to the precision of float32.
        scale: (n_features,) float64, the standard deviation; infinite for a constant column, whose
            standardised value is then 0 everywhere.
        offset: (n_features,) float64, the mean of the standardised rows: what rounding the centre left.
        correlation: (n_features, n_features) float64, X'X / n of the standardised rows.
        label_products: (n_concepts, n_features) float64, Y'X / n of the standardised rows.
        prevalences: (n_concepts,) float64, the share of the rows that have the concept.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    correlation: NDArray[np.float64]
    label_products: NDArray[np.float64]
    prevalences: NDArray[np.float64]


def take_moments(rows: FeatureRows, labels: sparse.csr_array) -> Moments:
    """Mean, scale and correlation of the rows, and their products with the labels, in one pass.

    Sums are taken about a pivot near the mean, so that a column far from zero loses no digits, and
    are moved to the mean afterwards. The products with the labels are float64: what a fit has left of them
    is small. X'X only shapes the steps: float32 within a block, float64 between blocks.

    Args:
        rows: X, n rows.
        labels: (n, n_concepts) bool, row i belonging to the i-th of `rows`.

    Raises:
        TrainingError: a feature is not finite, or too large for its square.
    """
    n, d = len(rows), rows.n_features
    pivot = _pivot(rows)
    total = torch.zeros(d, dtype=torch.float64, device=rows.device)
    products = torch.zeros(d, d, dtype=torch.float64, device=rows.device)
    label_sums = np.zeros((labels.shape[1], d))
    for where, block in rows.blocks():
        block -= pivot
        sums = block.sum(0, dtype=torch.float64)
        if not bool(torch.isfinite(sums).all()):
            raise _not_finite(rows, where.start, block)
        total += sums
        products += block.T @ block
        label_sums += labels[where].astype(np.float64).T @ block.double().cpu().numpy()
    base, shift = pivot.cpu().numpy().astype(np.float64), (total / n).cpu().numpy()
    centre = (base + shift).astype(np.float32).astype(np.float64)
    covariance = products.cpu().numpy() / n - np.outer(shift, shift)
    scale = _scale(covariance, centre)
    prevalences = np.asarray(labels.sum(axis=0), dtype=np.float64).ravel() / n
    return Moments(
        centre=centre,
        scale=scale,
        offset=(base + shift - centre) / scale,
        correlation=covariance / scale[:, None] / scale[None, :],
        label_products=(label_sums / n - np.outer(prevalences, centre - base)) / scale,
        prevalences=prevalences,
    )


def _scale(covariance: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    variances = np.diag(covariance)
    if not np.isfinite(variances).all():
        column = int(np.flatnonzero(~np.isfinite(variances))[0])
        raise TrainingError(f"features: the squares of column {column} overflow; expected values below 1e18")
    deviations = np.sqrt(np.maximum(variances, 0.0))
    # Spread below the resolution of float32 at the centre is rounding and carries no information.
    varies = deviations > np.finfo(np.float32).eps * np.abs(centre)
    inverse = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=varies).astype(np.float32)
    return np.divide(1.0, inverse, out=np.full_like(deviations, np.inf), where=varies, dtype=np.float64)


def _pivot(rows: FeatureRows) -> torch.Tensor:
    """(n_features,) float32: a value near each column's mean, from the first block."""
    _, block = next(rows.blocks())
    return torch.nan_to_num(block.mean(0, dtype=torch.float64).float(), posinf=0.0, neginf=0.0)


def _not_finite(rows: FeatureRows, start: int, block: torch.Tensor) -> TrainingError:
    bad = torch.nonzero(~torch.isfinite(block))
    column = int(bad[0, 1])
    found = [rows.image_row(start + int(i)) for i in bad[bad[:, 1] == column, 0]]
    named = ", ".join(map(str, found[:5])) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    return TrainingError(
        f"features: column {column} is not finite in row {named}; expected finite numbers everywhere"
    )


class StandardisedRows:
    """Blocks of rows with mean 0 and deviation 1 in every column, and 0 in constant ones."""

    def __init__(self, rows: FeatureRows, moments: Moments) -> None:
        self.device = rows.device
        self.block_rows = min(rows.block_rows, len(rows))
        self._rows = rows
        self._centre = torch.from_numpy(moments.centre.astype(np.float32)).to(rows.device)
        self._inverse = torch.from_numpy((1.0 / moments.scale).astype(np.float32)).to(rows.device)
        self._resident: list[torch.Tensor] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def blocks(self) -> Iterator[torch.Tensor]:
        """Yield (n_block, n_features) float32; on CUDA from the device's own memory where all fit."""
        if self._resident is None and self._fits():
            self._resident = [block.clone() for block in self._read()]
        yield from self._read() if self._resident is None else self._resident

    def _read(self) -> Iterator[torch.Tensor]:
        for _, block in self._rows.blocks():
            yield block.sub_(self._centre).mul_(self._inverse)

    def _fits(self) -> bool:
        if self.device.type != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(self.device)
        return bool(len(self) * self._rows.n_features * 4 < RESIDENT_SHARE * free)
