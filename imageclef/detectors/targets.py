"""What a classifier is asked to learn: labels as they come, and how much each class of a concept counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from imageclef.errors import ConfigError

ClassWeight = Literal["balanced"] | float | None


def indicator(labels: sparse.csr_array) -> sparse.csr_array:
    """Labels as a sparse indicator in canonical form; the caller's arrays stay as they are.

    Args:
        labels: (n_rows, n_concepts), where anything but 0 is a positive.

    Returns:
        (n_rows, n_concepts) bool: indices sorted, none twice, no zeros stored.
    """
    positives = sparse.csr_array(labels, dtype=bool, copy=True)
    positives.sum_duplicates()
    positives.eliminate_zeros()
    return positives


@dataclass(frozen=True)
class ClassWeights:
    """How much an image counts in the loss of each concept, by its class.

    Attributes:
        negatives: (n_concepts,) float64, the weight of an image without the concept.
        ratios: (n_concepts,) float64, how often that an image with it counts.
    """

    negatives: NDArray[np.float64]
    ratios: NDArray[np.float64]

    @classmethod
    def of(cls, class_weight: ClassWeight, prevalences: NDArray[np.float64]) -> ClassWeights:
        """Weights as scikit-learn means them.

        Args:
            class_weight: None, every image counts 1; "balanced", an image counts n / (2 n_class); a number,
                which positives count while negatives count 1.
            prevalences: (n_concepts,) the share of the images that have each concept.

        Raises:
            ConfigError: the weight is not a finite number above 0.
        """
        ones = np.ones_like(prevalences)
        if class_weight is None:
            return cls(ones, ones)
        if class_weight == "balanced":
            both = (prevalences > 0) & (prevalences < 1)
            negatives = np.divide(0.5, 1 - prevalences, out=ones.copy(), where=both)
            return cls(negatives, np.divide(1 - prevalences, prevalences, out=ones.copy(), where=both))
        if isinstance(class_weight, str) or not (np.isfinite(class_weight) and class_weight > 0):
            raise ConfigError(
                f"class weight is {class_weight!r}; expected 'balanced' or a finite number above 0"
            )
        return cls(ones, class_weight * ones)


@dataclass(frozen=True)
class Positives:
    """The positives of some concepts in a block of rows.

    Attributes:
        rows: (n_positives,) from the block's first row on.
        columns: (n_positives,) which of the concepts that were asked for.
        extra: (n_positives,) float32, what each counts beyond a negative; None if nothing.
    """

    rows: torch.Tensor
    columns: torch.Tensor
    extra: torch.Tensor | None


class Labels:
    """Labels as index lists on a device, handed out in blocks of rows.

    Args:
        positives: (n_rows, n_concepts) as `indicator` gives them.
        counts: (n_concepts,) the weight of a positive over that of a negative.
        device: of torch.

    Attributes:
        counts: (n_concepts,) float64, as given.
    """

    def __init__(
        self, positives: sparse.csr_array, counts: NDArray[np.float64], device: torch.device
    ) -> None:
        self.counts = torch.tensor(counts, dtype=torch.float64, device=device)
        rows = np.repeat(np.arange(positives.shape[0]), np.diff(positives.indptr))
        self._rows = torch.from_numpy(rows).to(device)
        self._concepts = torch.from_numpy(positives.indices.astype(np.int64)).to(device)
        self._ends = positives.indptr
        self._plain = bool((counts == 1).all())

    def blocks(self, concepts: torch.Tensor, block_rows: int) -> Iterator[Positives]:
        """Yield the positives of some concepts, for each block of rows."""
        columns_of = torch.full_like(self.counts, -1, dtype=torch.int64)
        columns_of[concepts] = torch.arange(len(concepts), device=concepts.device)
        extra = (self.counts[concepts] - 1).float()
        n = len(self._ends) - 1
        for start in range(0, n, block_rows):
            those = slice(int(self._ends[start]), int(self._ends[min(start + block_rows, n)]))
            rows, columns = self._rows[those] - start, columns_of[self._concepts[those]]
            asked = columns >= 0
            rows, columns = rows[asked], columns[asked]
            yield Positives(rows, columns, None if self._plain else extra[columns])
