"""A window of concepts, its linear model, and a threshold for each concept: fitted, tuned, saved, asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.concepts.logistic import LogisticRegression, regularisation_path
from imageclef.concepts.metrics import concept_table
from imageclef.concepts.thresholds import (
    apply_thresholds,
    global_threshold,
    limit,
    mean_image_f1,
    per_concept_thresholds,
)
from imageclef.concepts.windows import with_the_rest_right
from imageclef.data.vocabulary import Vocabulary
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled
from imageclef.learners.checkpoint import load_tensors, save_tensors
from imageclef.progress import Advance

_MODEL, _VOCABULARY = "classifier.safetensors", "vocabulary.tsv"
_BLOCK = 8192


@dataclass(frozen=True)
class Classifier:
    """What turns features into concepts.

    Attributes:
        vocabulary: the concepts of the window.
        model: one row of weights for each.
        thresholds: the probability from which a concept is answered, (n_concepts,).
    """

    vocabulary: Vocabulary
    model: LogisticRegression
    thresholds: NDArray[np.float32]

    def answers(self, features: FeatureSet, most: int) -> dict[str, tuple[str, ...]]:
        """At most `most` concepts for each image of a feature set, the least certain dropped first."""
        answers: dict[str, tuple[str, ...]] = {}
        for start in range(0, len(features), _BLOCK):
            block = slice(start, start + _BLOCK)
            scores = self.model.predict_proba(features.features[block])
            predicted = limit(scores, apply_thresholds(scores, self.thresholds), most)
            answers.update(zip(features.ids[block], self.vocabulary.concepts_of(predicted), strict=True))
        return answers

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        state = {name: torch.from_numpy(array) for name, array in self.model.state().items()}
        save_tensors(folder / _MODEL, {**state, "thresholds": torch.from_numpy(self.thresholds)}, {})
        self.vocabulary.write(folder / _VOCABULARY)

    @classmethod
    def load(cls, folder: Path) -> Classifier:
        """Read what `save` wrote.

        Raises:
            ArtifactError: a file is damaged.
        """
        tensors, _ = load_tensors(folder / _MODEL)
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        thresholds = arrays.pop("thresholds")
        return cls(Vocabulary.read(folder / _VOCABULARY), LogisticRegression.from_state(arrays), thresholds)


@dataclass(frozen=True)
class Fit:
    """A fitted classifier and how it did on the held-out part.

    Attributes:
        classifier: fitted on the one part, tuned on the other.
        table: a row for each concept, on the held-out part: its threshold and the columns of `concept_table`.
        figures: the strength chosen, the scores, the convergence.
    """

    classifier: Classifier
    table: pd.DataFrame
    figures: Mapping[str, Any]


def fit_classifier(
    features: FeatureSet,
    data: Labelled,
    vocabulary: Vocabulary,
    cs: Sequence[float],
    rule: Literal["global", "per-concept"],
    joined: bool,
    device: str,
    advance: Advance,
) -> Fit:
    """Fit a model for each strength of the penalty, keep the one that scores best, tune its thresholds.

    Args:
        features: of the training collection.
        data: its images with concepts, in two parts.
        vocabulary: the concepts of `data.labels`.
        cs: inverse strengths to choose from.
        rule: one threshold for all, or one for each concept.
        joined: whether the answers are one window of several, and tuned as such.
        device: where the model is fitted.
        advance: told of concepts as they converge, each once for each strength.
    """
    fitted, tuned = data.fitted, data.tuned
    matrix = np.asarray(features.features[tuned.rows])
    models = regularisation_path(
        features.features, fitted.labels, cs, rows=fitted.rows, device=device, progress=advance
    )

    def seen(model: LogisticRegression) -> tuple[NDArray[np.float32], csr_array]:
        scores = model.predict_proba(matrix)
        return with_the_rest_right(scores, tuned.labels, tuned.n_truth) if joined else (scores, tuned.labels)

    trials = []
    for c, model in zip(cs, models, strict=True):
        cut, score = global_threshold(*seen(model), tuned.n_truth)
        trials.append((score, c, cut, model))
    best, c, cut, model = max(trials, key=lambda trial: trial[0])
    scores = model.predict_proba(matrix)
    thresholds = np.full(len(vocabulary.concepts), cut, np.float32)
    if rule == "per-concept":
        thresholds = per_concept_thresholds(*seen(model), tuned.n_truth, cut)[: len(thresholds)]
    predicted = apply_thresholds(scores, thresholds)
    table = concept_table(scores, predicted, tuned.labels)
    table.insert(0, "concept", list(vocabulary.concepts))
    table.insert(1, "threshold", thresholds)
    figures = {
        "concepts": len(vocabulary.concepts),
        "fitted_on": len(fitted.rows),
        "tuned_on": len(tuned.rows),
        "c": c,
        "score_by_c": {str(trial[1]): trial[0] for trial in trials},
        "rule": rule,
        "threshold": float(cut) if np.isfinite(cut) else None,
        "not_converged": int((~model.report.converged).sum()),
        "score_global": best,
        "score": mean_image_f1(predicted, tuned.labels, tuned.n_truth),
    }
    return Fit(Classifier(vocabulary, model, thresholds), table, figures)
