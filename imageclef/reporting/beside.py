"""What may stand beside a run file ``NAME.csv``, and is used where it does.

| file                      | what it says                                          |
|---------------------------|-------------------------------------------------------|
| ``NAME.json``             | how the run was made                                  |
| ``NAME/scores.safetensors`` | how certain each answer was: `imageclef.runs.scores` |
| ``NAME/concepts.csv``     | columns concept and threshold (others are passed over) |

One threshold for all concepts is taken from ``held_out.threshold`` of the JSON file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.sparse import csr_array, vstack

from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import DataError
from imageclef.runs.publishing import require_as_published
from imageclef.runs.scores import SCORES, Scores

FACTS_SUFFIX, CONCEPTS_NAME = ".json", "concepts.csv"


@dataclass(frozen=True)
class RunScores:
    """The scores of a run, their rows those of the images that count.

    Attributes:
        concepts: the concept of each column, in upper case.
        matrix: (n_images, n_scored_concepts), from 0 to 1; what is not stored was among the lowest.
        labels: (n_images, n_scored_concepts) of the truth.
    """

    concepts: tuple[str, ...]
    matrix: csr_array
    labels: csr_array


@dataclass(frozen=True)
class Beside:
    """What stands beside a run.

    Attributes:
        facts: how it was made; empty if that is not there.
        scores: None if they are not there.
        thresholds: by concept, in upper case; empty where there is none, or one for all.
        threshold: the one for all, where it is known.
    """

    facts: Mapping[str, Any]
    scores: RunScores | None
    thresholds: Mapping[str, float]
    threshold: float | None

    def threshold_of(self, concept: str) -> float | None:
        """Above which a concept was answered, where known; none for a concept that was not scored."""
        if self.thresholds:
            return self.thresholds.get(concept)
        if self.scores is not None and concept not in self.scores.concepts:
            return None
        return self.threshold


def read_beside(run: Path, ids: Sequence[str], truths: Sequence[Sequence[str]]) -> Beside:
    """Read what stands beside a run.

    Args:
        run: the run file.
        ids: of the images that count.
        truths: their concepts.

    Raises:
        DataError: a file is not what its name says, or the scores are of other images.
        ArtifactError: a file of the run was changed since it was published, or the scores are damaged.
    """
    folder = run.with_suffix("")
    facts = _read_facts(run.with_suffix(FACTS_SUFFIX))
    if facts.keys() & {"files", "seal"}:  # those of others have neither
        require_as_published(run)
    held_out = facts.get("held_out")
    threshold = held_out.get("threshold") if isinstance(held_out, dict) else None
    return Beside(
        facts=facts,
        scores=_read_scores(folder / SCORES, ids, truths),
        thresholds=_read_thresholds(folder / CONCEPTS_NAME),
        threshold=float(threshold) if isinstance(threshold, int | float) else None,
    )


def _read_facts(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: {error}; expected the JSON file of a run") from None
    if not isinstance(facts, dict):
        raise DataError(f"{path}: not a JSON object; expected the JSON file of a run")
    return facts


def _read_scores(path: Path, ids: Sequence[str], truths: Sequence[Sequence[str]]) -> RunScores | None:
    if not path.is_file():
        return None
    scores = Scores.read(path)
    row_of = {image_id: row for row, image_id in enumerate(scores.ids)}
    if not any(image_id in row_of for image_id in ids):
        raise DataError(f"{path}: no scores of any image of the run; expected those of its images")
    # An image that could not be read has no scores: the empty row below the others.
    nothing = csr_array((1, len(scores.concepts)), dtype=scores.matrix.dtype)
    stacked = csr_array(vstack([scores.matrix, nothing], format="csr"))
    matrix = csr_array(stacked[[row_of.get(image_id, len(scores.ids)) for image_id in ids]])
    if not ((matrix.data >= 0) & (matrix.data <= 1)).all():
        raise DataError(f"{path}: a score that is not from 0 to 1; expected probabilities")
    concepts = tuple(map(str.upper, scores.concepts))
    return RunScores(concepts, matrix, Vocabulary(concepts, (0,) * len(concepts)).labels(truths))


def _read_thresholds(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    thresholds = {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        try:
            for row in rows:
                if row["threshold"]:
                    thresholds[row["concept"].upper()] = float(row["threshold"])
        except (KeyError, ValueError, AttributeError, csv.Error):
            where = f"{path}:{rows.line_num}"
            raise DataError(f"{where}: expected columns concept and threshold, a number") from None
    return thresholds
