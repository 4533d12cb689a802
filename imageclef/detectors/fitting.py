"""Fit a classifier: a detector gives log-odds of the validation part, by which the rule is chosen and tuned.

detector.fit(task)         -> validation log-odds
choose and tune the rule   -> decision
detector.refit(task)       on all images, with everything chosen
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageclef.detectors.classifier import Classifier
from imageclef.detectors.metrics import concept_table
from imageclef.detectors.rules import Nearest
from imageclef.detectors.selection import (
    CANDIDATES,
    PLAIN,
    Decision,
    Trial,
    Validation,
    best_of,
    cross_validated,
    tuned,
)
from imageclef.detectors.table import DETECTORS
from imageclef.detectors.task import Task, with_the_rest_right
from imageclef.detectors.thresholds import mean_image_f1

AUTO = "auto"


@dataclass(frozen=True)
class Fit:
    """A fitted classifier and how it did on the validation part.

    Attributes:
        classifier: to answer with.
        trial: what the chosen rule answered for each validation image, by a detector that was not fitted to
            it and a rule that was tuned on others.
        table: a row for each concept, on these answers: the columns of `concept_table`.
        metrics: what the detector chose, the rule chosen, the scores.
    """

    classifier: Classifier
    trial: Trial
    table: pd.DataFrame
    metrics: Mapping[str, Any]


def fit_classifier(name: str, task: Task, nearest: Nearest | None = None) -> Fit:
    """Fit a detector, choose among the rules, fit once more.

    Args:
        name: of the detector in `DETECTORS`.
        task: the images, their labels and the settings.
        nearest: of each validation image, among the training part; for the rules that may copy.

    Raises:
        TrainingError: no validation image has a concept.
    """
    data, settings = task.data, task.classify
    part = data.validation
    fitted = DETECTORS[name].fit(task)
    trials, trial, decision = decide_by(fitted.log_odds, task, nearest)
    metrics = {
        **fitted.metrics,
        "concepts": len(task.vocabulary),
        "fitted_on": len(data.train.rows),
        "tuned_on": len(part.rows),
        **_of_rule(decision),
        "rule": trial.name,
        "rules": {each.name: each.metrics for each in trials},
        "score": mean_image_f1(trial.answers, part.labels, part.n_truth),
        "refitted_on": len(data.rows) if settings.refit else None,
    }
    detector = fitted.detector.refit(task) if settings.refit else fitted.detector
    classifier = Classifier(task.vocabulary, detector, decision, name)
    return Fit(classifier, trial, _table(decision, trial, task), metrics)


def decide_by(
    log_odds: NDArray[np.float32], task: Task, nearest: Nearest | None = None
) -> tuple[list[Trial], Trial, Decision]:
    """Choose calibration and rule by the log-odds of the validation part, whatever gave them.

    Args:
        log_odds: (n_validation, n_concepts).
        task: names the rule, or asks for the best of them.
        nearest: see `fit_classifier`.

    Returns:
        How each candidate did; the chosen one; and the same tuned on the whole validation part.
    """
    held = _validation(log_odds, task, nearest)
    trials = cross_validated(_names(task, held), held)
    trial = best_of(trials) if task.classify.rule == AUTO else trials[-1]
    decision = tuned(trial.name, held)
    if task.joined:
        return trials, trial.within(len(task.vocabulary)), decision.within(len(task.vocabulary))
    return trials, trial, decision


def _validation(log_odds: NDArray[np.float32], task: Task, nearest: Nearest | None) -> Validation:
    """What a rule is tuned on; of a window that will be joined, as if the others had found everything."""
    part = task.data.validation
    labels = part.labels
    if task.joined:
        log_odds, labels = with_the_rest_right(log_odds, labels, part.n_truth)
    folds = part.folds
    if not all((part.n_truth[folds != fold] > 0).any() for fold in np.unique(folds)):
        # All images with a concept are in one fold: there is nothing to tune on without it.
        folds = np.zeros_like(folds)
    return Validation(log_odds, labels, part.n_truth, nearest, part.groups, folds)


def _names(task: Task, held: Validation) -> list[str]:
    """The candidates to try; without a second fold there is nothing to choose them by."""
    if task.classify.rule != AUTO:
        return [task.classify.rule]
    if task.joined or not held.folds.any():
        return [PLAIN]
    return [name for name, one in CANDIDATES.items() if held.nearest is not None or not one.copies]


def _of_rule(decision: Decision) -> dict[str, Any]:
    rule = decision.rule
    named = {"global": "threshold", "fixed-k": "k", "expected-f1": "expected_outside"}
    metrics: dict[str, Any] = {}
    if rule.name in named:
        first = float(rule.parameters[0])
        metrics[named[rule.name]] = first if np.isfinite(first) else None
    if np.isfinite(rule.copied_from):
        metrics["copied_from_similarity"] = rule.copied_from
    return {**metrics, "at_least": rule.at_least}


def _table(decision: Decision, trial: Trial, task: Task) -> pd.DataFrame:
    table = concept_table(trial.scores, trial.answers, task.data.validation.labels)
    table.insert(0, "concept", list(task.vocabulary.concepts))
    rule = decision.rule
    thresholds = rule.parameters if rule.name in ("global", "per-concept") else np.float32("nan")
    table.insert(1, "threshold", np.broadcast_to(thresholds, len(task.vocabulary)))
    return table
