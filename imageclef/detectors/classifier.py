"""A window of concepts, its linear model, and how its answers are decided: saved, loaded, asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.calibration import Calibration
from imageclef.detectors.logistic import LogisticRegression
from imageclef.detectors.rules import Nearest, Rule
from imageclef.detectors.selection import Decision
from imageclef.errors import ArtifactError
from imageclef.features.feature_set import FeatureSet
from imageclef.learners.checkpoint import load_tensors, save_tensors

_MODEL, _VOCABULARY = "classifier.safetensors", "vocabulary.tsv"
_BLOCK = 8192


@dataclass(frozen=True)
class Classifier:
    """What turns features into concepts.

    Attributes:
        vocabulary: the concepts of the window.
        model: one row of weights for each.
        decision: from log-odds to answers.
    """

    vocabulary: Vocabulary
    model: LogisticRegression
    decision: Decision

    @property
    def asks_for_neighbours(self) -> bool:
        """Whether some images may get the concepts of their nearest training image."""
        return bool(np.isfinite(self.decision.rule.copied_from))

    def answers(
        self, features: FeatureSet, nearest: Nearest | None, most: int
    ) -> Iterator[tuple[list[tuple[str, ...]], NDArray[np.float32]]]:
        """Blocks of answers, in the order of the rows, with their probabilities.

        Args:
            features: of n images.
            nearest: of the same images, where the rule asks for it.
            most: concepts that an image may have, the least certain dropped first.

        Yields:
            The concepts of each image of a block, and its probabilities (n_block, n_concepts).
        """
        for start in range(0, len(features), _BLOCK):
            block = slice(start, start + _BLOCK)
            log_odds = self.model.decision_function(features.features[block])
            near = None if nearest is None else nearest.take(block)
            answers, scores = self.decision(log_odds, near, most)
            yield self.vocabulary.concepts_of(csr_array(answers)), scores

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        arrays = {
            **self.model.state(),
            "calibration.slopes": self.decision.calibration.slopes,
            "calibration.offsets": self.decision.calibration.offsets,
            "rule.numbers": self.decision.rule.numbers,
        }
        rule = self.decision.rule
        about = {"rule": rule.name, "copied_from": float(rule.copied_from), "at_least": rule.at_least}
        tensors = {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}
        save_tensors(folder / _MODEL, tensors, about)
        self.vocabulary.write(folder / _VOCABULARY)

    @classmethod
    def load(cls, folder: Path) -> Classifier:
        """Read what `save` wrote.

        Raises:
            ArtifactError: a file is damaged.
        """
        tensors, about = load_tensors(folder / _MODEL)
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        try:
            calibration = Calibration(arrays.pop("calibration.slopes"), arrays.pop("calibration.offsets"))
            numbers, copied_from = arrays.pop("rule.numbers"), float(about["copied_from"])
            rule = Rule(about["rule"], numbers, copied_from, int(about["at_least"]))
            model = LogisticRegression.from_state(arrays)
        except KeyError as error:
            raise ArtifactError(
                f"{folder / _MODEL}: no {error}; expected a classifier of this version: delete {folder} "
                "and run `imageclef classify` again"
            ) from None
        return cls(Vocabulary.read(folder / _VOCABULARY), model, Decision(calibration, rule))
