"""The concepts of one image by the classifier, with the scores and thresholds that decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.detectors.classifier import Classifier
from imageclef.detectors.rules import Nearest
from imageclef.detectors.task import Rows
from imageclef.features.encoding import Encoded
from imageclef.images.decode import Mode

FindNearest = Callable[[NDArray[np.float32]], tuple[int, float]]
"""Row and cosine similarity of the training image nearest to features, (1, n_features)."""


@dataclass(frozen=True)
class Detection:
    """What a classifier says of an image; arrays are (n_concepts,).

    Attributes:
        scores: probabilities.
        thresholds: None where the rule has no cut.
        answer: whether the concept is detected.
        copied: whether the answer is that of the nearest training image.
    """

    scores: NDArray[np.float32]
    thresholds: NDArray[np.float32] | None
    answer: NDArray[np.bool_]
    copied: bool


class Annotator:
    """A classifier, and the training images that it may copy from."""

    def __init__(
        self,
        classifier: Classifier,
        most: int,
        find_nearest: FindNearest | None = None,
        labels: csr_array | None = None,
        decoded_at: tuple[int, Mode] | None = None,
    ) -> None:
        """Join them.

        Args:
            classifier: of the features that the index is of.
            most: concepts that an image may have.
            find_nearest: needed where the rule copies.
            labels: of the rows that it finds, (n_images, n_concepts).
            decoded_at: size and mode of the images, where the classifier's detector reads pixels.
        """
        self._classifier = classifier
        self._most = most
        self._decoded_at = decoded_at
        self._find_nearest, self._labels = find_nearest, labels

    @property
    def concepts(self) -> tuple[str, ...]:
        """By column."""
        return self._classifier.vocabulary.concepts

    @property
    def rule(self) -> str:
        """The rule that decides."""
        return self._classifier.decision.rule.name

    def concepts_in(self, image: Encoded) -> list[str]:
        """The concepts that are detected in an image."""
        return [self.concepts[place] for place in self.detect(image).answer.nonzero()[0]]

    def detect(self, image: Encoded) -> Detection:
        """Ask about one image."""
        pixels = None if self._decoded_at is None else image.at(*self._decoded_at)
        decision = self._classifier.decision
        nearest = None
        if self._find_nearest is not None and self._labels is not None:
            at, similarity = self._find_nearest(image.compared)
            nearest = Nearest(self._labels[[at]], np.array([similarity], np.float32))
        rows = Rows([""], image.side_by_side, None if pixels is None else pixels[None])
        answers, scores = decision(self._classifier.detector.log_odds(rows), nearest, self._most)
        copied = nearest is not None and bool(nearest.similarity[0] >= decision.rule.copied_from)
        return Detection(scores[0], self._thresholds(), csr_array(answers).toarray()[0].astype(bool), copied)

    def _thresholds(self) -> NDArray[np.float32] | None:
        rule, n = self._classifier.decision.rule, len(self.concepts)
        if rule.name == "global":
            return np.full(n, rule.parameters[0], np.float32)
        return rule.parameters.astype(np.float32) if rule.name == "per-concept" else None
