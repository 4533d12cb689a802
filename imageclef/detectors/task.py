"""What a detector learns from: images in two parts, and the figure by which its candidates are compared.

A window of concepts whose run will be joined with those of other windows is a case of its own. Alone, a
window of rare concepts scores next to nothing whatever it answers: an image that has none of them has an F1
of 0 with or without a false positive. Its best threshold would be far too low, and the joined run flooded. So
such a window is tuned as if the other windows had found everything of theirs: a true positive then completes
an image and a false one spoils it, as it will in the join.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from imageclef.config import ClassifySettings
from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.thresholds import global_threshold
from imageclef.errors import DataError
from imageclef.features.feature_set import Matrix
from imageclef.features.labelled import Labelled
from imageclef.progress import Reporter, Silent
from imageclef.settings import Settings


@dataclass(frozen=True)
class Rows:
    """Images, as far as a detector may look at them.

    Attributes:
        ids: of the images.
        of_features: (n_images, n_features) float32, None where no feature set was read.
        of_pixels: (n_images, height, width, channels) uint8, None where no store was opened.
    """

    ids: list[str]
    of_features: Matrix | None = None
    of_pixels: Matrix | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def features(self) -> Matrix:
        """(n_images, n_features).

        Raises:
            DataError: the rows have none.
        """
        if self.of_features is None:
            raise DataError(f"{len(self)} images without features; expected rows of a feature set")
        return self.of_features

    @property
    def pixels(self) -> Matrix:
        """(n_images, height, width, channels).

        Raises:
            DataError: the rows have none.
        """
        if self.of_pixels is None:
            raise DataError(f"{len(self)} images without pixels; expected rows of a store")
        return self.of_pixels

    def take(self, images: slice | NDArray[np.int64]) -> Rows:
        """Some of the images; what they hold is read now."""
        numbers = np.arange(len(self))[images]
        return Rows(
            [self.ids[number] for number in numbers.tolist()],
            None if self.of_features is None else self.of_features[images],
            None if self.of_pixels is None else self.of_pixels[images],
        )


@dataclass(frozen=True)
class Task:
    """The images that a detector is fitted to, and how.

    Attributes:
        rows: of the training collection.
        data: which of them have concepts, their labels, and the two parts.
        vocabulary: the concepts of the labels' columns.
        classify: the settings of ``[classify]``.
        settings: the detector's own, of ``[detector]``.
        device: of torch.
        cache: a folder for work that a stopped fit goes on from; None keeps nothing.
        reporter: shows the progress.
    """

    rows: Rows
    data: Labelled
    vocabulary: Vocabulary
    classify: ClassifySettings = field(default_factory=ClassifySettings)
    settings: Settings = field(default_factory=Settings)
    device: str = "cpu"
    cache: Path | None = None
    reporter: Reporter = field(default_factory=Silent)

    @property
    def joined(self) -> bool:
        """Whether the answers are one window of several, and tuned as such."""
        return self.classify.offset > 0

    def score(self, log_odds: NDArray[np.float32]) -> float:
        """The mean image F1 of the validation part with the best single threshold.

        Args:
            log_odds: (n_validation, n_concepts).
        """
        part = self.data.validation
        labels = part.labels
        if self.joined:
            log_odds, labels = with_the_rest_right(log_odds, labels, part.n_truth)
        return global_threshold(log_odds, labels, part.n_truth)[1]


def with_the_rest_right(
    scores: NDArray[np.float32], labels: sparse.csr_array, n_truth: NDArray[np.int64]
) -> tuple[NDArray[np.float32], sparse.csr_array]:
    """Add columns in which every concept outside the window is answered, and right.

    Args:
        scores: (n_images, n_concepts) of the window.
        labels: (n_images, n_concepts) of the window, sparse.
        n_truth: (n_images,), concepts of the truth in and outside the window.

    Returns:
        Scores and labels, (n_images, n_concepts + m): an image with r concepts outside the window has r
        further columns that are true and score infinity; the others are false and score minus infinity.
    """
    inside = np.asarray((labels != 0).sum(axis=1)).ravel()
    outside = np.asarray(n_truth) - inside
    further = np.arange(outside.max(initial=0)) < outside[:, None]
    extra = np.where(further, np.inf, -np.inf).astype(scores.dtype)
    columns = sparse.hstack([labels, sparse.csr_array(further.astype(labels.dtype))], format="csr")
    return np.hstack([scores, extra]), sparse.csr_array(columns)
