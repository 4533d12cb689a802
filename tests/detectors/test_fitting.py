from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.fitting import Fit, Plan, fit_classifier
from imageclef.detectors.logistic import LogisticRegression
from imageclef.detectors.rules import Nearest
from imageclef.detectors.selection import CANDIDATES
from imageclef.detectors.thresholds import global_threshold, mean_image_f1
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled
from tests.detectors.conftest import CONCEPTS, HELD, N

CS = (0.01, 0.1, 1.0)
PLAN = Plan(CS, rule="global", refit=False)


def fitted(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary, plan: Plan, near: Nearest | None = None
) -> Fit:
    told: list[int] = []
    fit = fit_classifier(features, data, vocabulary, plan, near, told.append)
    assert sum(told) == len(plan.cs) * len(CONCEPTS)
    return fit


def test_it_finds_the_columns_that_concepts_follow(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    fit = fitted(features, data, vocabulary, PLAN)
    strongest = np.abs(fit.classifier.model.weights).argmax(1)
    assert [CONCEPTS[column] for column in strongest] == list(fit.classifier.vocabulary.concepts)
    assert fit.figures["score"] > 0.6


def test_the_strength_is_the_one_that_scores_best_on_the_held_out_part(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    fit = fitted(features, data, vocabulary, PLAN)
    scores = fit.classifier.model.predict_proba(features.features[data.tuned.rows])
    _, score = global_threshold(scores, data.tuned.labels, data.tuned.n_truth)
    assert score == pytest.approx(max(fit.figures["score_by_c"].values()), abs=1e-6)


def test_a_strength_of_its_own_has_the_least_loss_of_each_concept(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    fit = fitted(features, data, vocabulary, replace(PLAN, per_concept=True))
    truth = data.tuned.labels.toarray().astype(bool)
    losses = []
    for c in CS:
        model = LogisticRegression(c).fit(features.features, data.fitted.labels, data.fitted.rows)
        p = model.predict_proba(features.features[data.tuned.rows]).astype(np.float64)
        losses.append(-np.where(truth, np.log(p), np.log1p(-p)).mean(axis=0))
    np.testing.assert_allclose(fit.classifier.model.c, np.array(CS)[np.argmin(losses, axis=0)])


def test_held_out_images_are_not_fitted(features: FeatureSet, data: Labelled, vocabulary: Vocabulary) -> None:
    """Other labels for the held-out images change the thresholds, never the weights of one strength."""
    upset = data.labels.toarray()
    upset[data.held] = 1 - upset[data.held]
    other = replace(data, labels=csr_array(upset))
    plan = replace(PLAN, cs=(0.1,))
    one, two = (fitted(features, part, vocabulary, plan) for part in (data, other))
    np.testing.assert_array_equal(one.classifier.model.weights, two.classifier.model.weights)
    assert one.figures["threshold"] != two.figures["threshold"]


def test_the_last_fit_is_of_all_images_and_the_figures_are_not(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    plan = replace(PLAN, cs=(0.1,))
    once, again = (fitted(features, data, vocabulary, replace(plan, refit=refit)) for refit in (False, True))
    whole = LogisticRegression(0.1).fit(features.features, data.labels, data.rows)
    np.testing.assert_allclose(again.classifier.model.weights, whole.weights, rtol=1e-2, atol=1e-3)
    assert np.abs(once.classifier.model.weights - whole.weights).max() > 0.01
    assert again.figures["refitted_on"] == N
    assert again.figures["score"] == once.figures["score"]


def test_the_score_is_that_of_answers_by_rules_tuned_on_others(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    near = Nearest(data.fitted.labels[:HELD], np.linspace(0, 1, HELD, dtype=np.float32))
    fit = fitted(features, data, vocabulary, Plan(CS), near)
    assert set(fit.figures["rules"]) == set(CANDIDATES)
    best = max(fit.figures["rules"].values(), key=lambda figures: figures["score"])
    chosen = fit.figures["rules"][fit.figures["rule"]]
    assert chosen["score"] == best["score"] or best["gain"] <= best["spread"]
    score = mean_image_f1(fit.trial.answers, data.tuned.labels, data.tuned.n_truth)
    assert fit.figures["score"] == pytest.approx(score)
    assert fit.figures["score"] == pytest.approx(chosen["score"])


def test_rules_that_copy_are_tried_only_with_neighbours(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    fit = fitted(features, data, vocabulary, Plan((0.1,)))
    assert set(fit.figures["rules"]) == {name for name in CANDIDATES if not name.endswith("nearest")}


def test_a_window_is_decided_by_one_cut_and_keeps_to_its_concepts(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    last = vocabulary.window(2, 2)
    part = replace(data, labels=csr_array(data.labels[:, 2:]))
    told: list[int] = []
    fit = fit_classifier(features, part, last, Plan(CS, joined=True), None, told.append)
    assert fit.figures["rule"] == "global"
    assert fit.trial.answers.shape == (HELD, 2)
    assert fit.classifier.decision.calibration.slopes.shape == (2,)
    # As a part of a join, answers are rarer than for a window that stands alone.
    alone = fit_classifier(features, part, last, PLAN, None, told.append)
    assert fit.trial.answers.sum() < alone.trial.answers.sum()


def test_the_table_has_a_row_for_each_concept(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    fit = fitted(features, data, vocabulary, PLAN)
    assert list(fit.table["concept"]) == list(vocabulary.concepts)
    assert fit.table["support"].tolist() == data.tuned.labels.toarray().sum(0).tolist()
    assert (fit.table["threshold"] == np.float32(fit.figures["threshold"])).all()


def test_a_stopped_fit_goes_on_to_the_same_weights(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    def stop(n: int) -> None:
        if len(list(tmp_path.glob("*.safetensors"))) == 2:
            raise InterruptedError("somebody pressed Ctrl-C")

    plan = Plan(CS, rule="global")
    with pytest.raises(InterruptedError, match="pressed"):
        fit_classifier(features, data, vocabulary, plan, None, stop, tmp_path)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.safetensors")}
    whole = fit_classifier(features, data, vocabulary, plan, None, lambda n: None)
    went_on = fit_classifier(features, data, vocabulary, plan, None, lambda n: None, tmp_path)
    np.testing.assert_array_equal(went_on.classifier.model.weights, whole.classifier.model.weights)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == kept


@pytest.mark.parametrize("part", ["held", "fitted"])
@pytest.mark.parametrize("per_concept", [False, True])
def test_a_concept_that_one_part_lacks_does_no_harm(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary, part: str, per_concept: bool
) -> None:
    labels = data.labels.toarray()
    lacking = data.held if part == "held" else ~data.held
    labels[lacking, 3] = 0
    one = replace(data, labels=csr_array(labels), n_truth=labels.sum(axis=1))
    fit = fitted(features, one, vocabulary, Plan(CS, per_concept=per_concept))
    assert fit.figures["score"] > 0.5
    assert np.isfinite(fit.classifier.model.weights).all()
    assert np.isfinite(fit.trial.scores).all()
    rare = fit.trial.answers[:, [3]].sum()
    assert rare <= (5 if part == "fitted" else HELD)
