"""Images that have both features and concepts, split into a training part and a validation part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array


@dataclass(frozen=True)
class Labelled:
    """Images with features and concepts.

    Attributes:
        rows: of the feature set or store, (n,).
        held: True for the images of the validation part, (n,).
        labels: of the concepts of the vocabulary, (n, n_concepts).
        n_truth: concepts of each image in and outside the vocabulary, (n,).
        groups: the number of each one's group (patient, study), (n,).
        folds: the fold of each for cross-validation within its part, (n,); a group is in one fold.
    """

    rows: NDArray[np.int64]
    held: NDArray[np.bool_]
    labels: csr_array
    n_truth: NDArray[np.int64]
    groups: NDArray[np.int64]
    folds: NDArray[np.int64]

    @property
    def train(self) -> Labelled:
        """The part that models are fitted on."""
        return self._part(~self.held)

    @property
    def validation(self) -> Labelled:
        """The part that thresholds, k and the strength of the penalty are tuned on."""
        return self._part(self.held)

    def _part(self, mask: NDArray[np.bool_]) -> Labelled:
        chosen = np.flatnonzero(mask)
        return Labelled(
            self.rows[chosen],
            self.held[chosen],
            self.labels[chosen],
            self.n_truth[chosen],
            self.groups[chosen],
            self.folds[chosen],
        )
