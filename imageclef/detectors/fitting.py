"""Fit a classifier: the strength of the penalty, the rule that decides, what both reach unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse, special

from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.classifier import Classifier
from imageclef.detectors.logistic import LogisticRegression, regularisation_path
from imageclef.detectors.metrics import concept_table
from imageclef.detectors.per_concept import select
from imageclef.detectors.rules import Nearest
from imageclef.detectors.selection import (
    CANDIDATES,
    PLAIN,
    Decision,
    HeldOut,
    Trial,
    best_of,
    cross_validated,
    tuned,
)
from imageclef.detectors.thresholds import global_threshold, mean_image_f1
from imageclef.detectors.windows import with_the_rest_right
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled
from imageclef.progress import Advance

AUTO = "auto"


@dataclass(frozen=True)
class Plan:
    """How a classifier is fitted.

    Attributes:
        cs: inverse strengths of the penalty to choose from.
        per_concept: whether each concept takes the one with its least loss on the held-out part; otherwise
            all take the one with the best score.
        rule: a name of `CANDIDATES`, or "auto" for the best of them.
        class_weight: of `LogisticRegression`.
        refit: whether the final weights are fitted to all images, the held-out ones among them.
        joined: whether the answers are one window of several, and tuned as such.
        device: where the model is fitted.
    """

    cs: Sequence[float]
    per_concept: bool = False
    rule: str = AUTO
    class_weight: float | Literal["balanced"] | None = None
    refit: bool = True
    joined: bool = False
    device: str = "cpu"


@dataclass(frozen=True)
class Fit:
    """A fitted classifier and how it did on the held-out part.

    Attributes:
        classifier: to answer with.
        trial: what the chosen rule answered for each held-out image, by a model that was not fitted to it
            and a rule that was tuned on others.
        table: a row for each concept, on these answers: the columns of `concept_table`.
        figures: the strength and the rule chosen, the scores, the convergence.
    """

    classifier: Classifier
    trial: Trial
    table: pd.DataFrame
    figures: Mapping[str, Any]


def fit_classifier(
    features: FeatureSet,
    data: Labelled,
    vocabulary: Vocabulary,
    plan: Plan,
    nearest: Nearest | None,
    advance: Advance,
    keep: Path | None = None,
) -> Fit:
    """Fit a model for each strength, choose among them and among the rules, fit once more.

    Args:
        features: of the training collection.
        data: its images with concepts, in two parts.
        vocabulary: the concepts of `data.labels`.
        plan: what to try.
        nearest: of each held-out image, among the others; for the rules that may copy.
        advance: told of concepts as they converge, each once for each strength.
        keep: a folder for the fits that are done, so that a stopped call goes on.
    """
    fitted, held_out = data.fitted, data.tuned
    models = regularisation_path(
        features.features,
        fitted.labels,
        plan.cs,
        rows=fitted.rows,
        device=plan.device,
        progress=advance,
        class_weight=plan.class_weight,
        keep=keep,
    )
    choice, log_odds, figures = _strengths(models, features.features[held_out.rows], held_out, plan)
    model = select(models, choice)
    held = _held(log_odds, held_out, nearest, plan)
    names = _names(plan, nearest, held)
    trials = cross_validated(names, held)
    trial = best_of(trials) if plan.rule == AUTO else trials[-1]
    decision = tuned(trial.name, held)
    if plan.joined:
        trial, decision = trial.within(len(vocabulary)), decision.within(len(vocabulary))
    figures |= {
        "concepts": len(vocabulary),
        "fitted_on": len(fitted.rows),
        "tuned_on": len(held_out.rows),
        "not_converged": int((~model.report.converged).sum()),
        **_rule_figures(decision),
        "rule": trial.name,
        "rules": {each.name: each.figures for each in trials},
        "score": mean_image_f1(trial.answers, held_out.labels, held_out.n_truth),
        "refitted_on": len(data.rows) if plan.refit else None,
    }
    if plan.refit:
        model = LogisticRegression(model.c, device=plan.device, class_weight=plan.class_weight).fit(
            features.features, data.labels, data.rows, warm_start=model
        )
    classifier = Classifier(vocabulary, model, decision)
    return Fit(classifier, trial, _table(vocabulary, decision, trial, held_out), figures)


def _strengths(
    models: Sequence[LogisticRegression], matrix: NDArray[np.float32], held_out: Labelled, plan: Plan
) -> tuple[NDArray[np.int64], NDArray[np.float32], dict[str, Any]]:
    """Which of the models each concept is taken from.

    Returns:
        The choice, (n_concepts,); the log-odds it gives for the held-out images; what is to be said of it.
    """
    n_concepts = held_out.labels.shape[1]
    best = np.full(n_concepts, np.inf)
    choice, chosen = np.zeros(n_concepts, np.int64), np.empty((len(matrix), n_concepts), np.float32)
    scores = {}
    for place, (c, model) in enumerate(zip(plan.cs, models, strict=True)):
        log_odds = model.decision_function(matrix)
        if plan.per_concept:
            losses = _log_losses(log_odds, held_out.labels)
        else:
            seen = _held(log_odds, held_out, None, plan)
            scores[str(c)] = global_threshold(seen.log_odds, seen.labels, seen.n_truth)[1]
            losses = np.full(n_concepts, -scores[str(c)])
        better = losses < best
        choice[better], best[better], chosen[:, better] = place, losses[better], log_odds[:, better]
    if not plan.per_concept:
        return choice, chosen, {"c": plan.cs[choice[0]], "score_by_c": scores}
    counts = np.bincount(choice, minlength=len(plan.cs)).tolist()
    of_cs = dict(zip(map(str, plan.cs), counts, strict=True))
    return choice, chosen, {"c": "per-concept", "concepts_by_c": of_cs}


def _log_losses(log_odds: NDArray[np.float32], labels: sparse.csr_array) -> NDArray[np.float64]:
    """The mean log-loss of each concept, (n_concepts,)."""
    of_negatives = -special.log_expit(-log_odds).sum(axis=0, dtype=np.float64)
    rows, columns = sparse.coo_array(labels).coords
    of_positives = np.bincount(columns, log_odds[rows, columns], minlength=log_odds.shape[1])
    losses: NDArray[np.float64] = (of_negatives - of_positives) / len(log_odds)
    return losses


def _held(log_odds: NDArray[np.float32], held_out: Labelled, nearest: Nearest | None, plan: Plan) -> HeldOut:
    """What a rule is tuned on; of a window that will be joined, as if the others had found everything."""
    labels = held_out.labels
    if plan.joined:
        log_odds, labels = with_the_rest_right(log_odds, labels, held_out.n_truth)
    return HeldOut(log_odds, labels, held_out.n_truth, nearest, held_out.groups, held_out.folds)


def _names(plan: Plan, nearest: Nearest | None, held: HeldOut) -> list[str]:
    """The candidates to try; without a second fold there is nothing to choose them by."""
    if plan.rule != AUTO:
        return [plan.rule]
    if plan.joined or not held.folds.any():
        return [PLAIN]
    return [name for name, candidate in CANDIDATES.items() if nearest is not None or not candidate.copies]


def _rule_figures(decision: Decision) -> dict[str, Any]:
    rule = decision.rule
    named = {"global": "threshold", "fixed-k": "k", "expected-f1": "expected_outside"}
    figures: dict[str, Any] = {}
    if rule.name in named:
        figures[named[rule.name]] = float(rule.numbers[0]) if np.isfinite(rule.numbers[0]) else None
    if np.isfinite(rule.copied_from):
        figures["copied_from_similarity"] = rule.copied_from
    return {**figures, "at_least": rule.at_least}


def _table(vocabulary: Vocabulary, decision: Decision, trial: Trial, held_out: Labelled) -> pd.DataFrame:
    table = concept_table(trial.scores, trial.answers, held_out.labels)
    table.insert(0, "concept", list(vocabulary.concepts))
    cuts = decision.rule.numbers if decision.rule.name in ("global", "per-concept") else np.float32("nan")
    table.insert(1, "threshold", np.broadcast_to(cuts, len(vocabulary)))
    return table
