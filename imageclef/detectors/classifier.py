"""A detector, the concepts of a window, and how its log-odds become answers: saved, loaded, asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.base import Detector
from imageclef.detectors.calibration import Calibration
from imageclef.detectors.rules import Nearest, Rule
from imageclef.detectors.selection import Decision
from imageclef.detectors.table import DETECTORS
from imageclef.detectors.task import Rows
from imageclef.errors import ArtifactError
from imageclef.storage.tensors import load_arrays, save_arrays

_MODEL, _VOCABULARY = "classifier.safetensors", "vocabulary.tsv"
_OF_DETECTOR = "detector."
_BLOCK = 8192


@dataclass(frozen=True)
class Classifier:
    """What turns images into concepts.

    Attributes:
        vocabulary: the concepts of the window.
        detector: gives one log-odds for each of them.
        decision: from log-odds to answers.
        name: of the detector in `DETECTORS`.
    """

    vocabulary: Vocabulary
    detector: Detector
    decision: Decision
    name: str = "linear"

    @property
    def asks_for_neighbours(self) -> bool:
        """Whether some images may get the concepts of their nearest training image."""
        return bool(np.isfinite(self.decision.rule.copied_from))

    def answers(
        self, rows: Rows, nearest: Nearest | None, most: int
    ) -> Iterator[tuple[list[tuple[str, ...]], NDArray[np.float32]]]:
        """Blocks of answers, in the order of the rows, with their probabilities.

        Args:
            rows: n images, with what the detector reads.
            nearest: of the same images, where the rule asks for it.
            most: concepts that an image may have, the least certain dropped first.

        Yields:
            The concepts of each image of a block, and its probabilities (n_block, n_concepts).
        """
        for start in range(0, len(rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            near = None if nearest is None else nearest.take(block)
            answers, scores = self.decision(self.detector.log_odds(rows.take(block)), near, most)
            yield self.vocabulary.concepts_of(csr_array(answers)), scores

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        rule = self.decision.rule
        arrays = {
            **{f"{_OF_DETECTOR}{name}": array for name, array in self.detector.state().items()},
            "calibration.slopes": self.decision.calibration.slopes,
            "calibration.offsets": self.decision.calibration.offsets,
            "rule.parameters": rule.parameters,
        }
        about = {
            "detector": self.name,
            "rule": rule.name,
            "copied_from": float(rule.copied_from),
            "at_least": rule.at_least,
        }
        save_arrays(folder / _MODEL, arrays, about)
        self.vocabulary.write(folder / _VOCABULARY)

    @classmethod
    def load(cls, folder: Path) -> Classifier:
        """Read what `save` wrote.

        Raises:
            ArtifactError: a file is damaged, or of another version.
        """
        arrays, about = load_arrays(folder / _MODEL)
        vocabulary = Vocabulary.read(folder / _VOCABULARY)
        try:
            calibration = Calibration(arrays["calibration.slopes"], arrays["calibration.offsets"])
            parameters, copied_from = arrays["rule.parameters"], float(about["copied_from"])
            rule = Rule(about["rule"], parameters, copied_from, int(about["at_least"]))
            kind = DETECTORS[about["detector"]]
            state = {
                name.removeprefix(_OF_DETECTOR): array
                for name, array in arrays.items()
                if name.startswith(_OF_DETECTOR)
            }
            detector = kind.from_state(state, vocabulary.concepts)
        except KeyError as error:
            raise ArtifactError(
                f"{folder / _MODEL}: no {error}; expected a classifier of this version: delete {folder} "
                "and run `imageclef classify` again"
            ) from None
        return cls(vocabulary, detector, Decision(calibration, rule), about["detector"])
