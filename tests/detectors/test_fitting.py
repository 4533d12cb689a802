from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from imageclef.config import ClassifySettings
from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.fitting import Fit, fit_classifier
from imageclef.detectors.linear import Linear
from imageclef.detectors.logistic import LogisticRegression
from imageclef.detectors.rules import Nearest
from imageclef.detectors.selection import CANDIDATES
from imageclef.detectors.task import Rows, Task
from imageclef.detectors.thresholds import global_threshold, mean_image_f1
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled
from imageclef.progress import Advance, Silent
from tests.detectors.conftest import CONCEPTS, HELD, N
from tests.detectors.problems import probabilities

CS = (0.01, 0.1, 1.0)
PLAN = ClassifySettings(cs=CS, rule="global", refit=False)


def changed(settings: ClassifySettings, **update: object) -> ClassifySettings:
    return ClassifySettings.model_validate({**settings.model_dump(), **update})


def task_of(features: FeatureSet, data: Labelled, vocabulary: Vocabulary, settings: ClassifySettings) -> Task:
    return Task(Rows(features.ids, features.features), data, vocabulary, settings)


class Told:
    """A reporter that counts what it is told."""

    def __init__(self) -> None:
        self.done: list[int] = []

    def say(self, message: str) -> None:
        raise AssertionError(message)

    @contextmanager
    def progress(self, label: str, total: int, unit: str) -> Iterator[Advance]:
        yield self.done.append
        assert sum(self.done) == total


def fitted(
    features: FeatureSet,
    data: Labelled,
    vocabulary: Vocabulary,
    settings: ClassifySettings,
    near: Nearest | None = None,
) -> Fit:
    told = Told()
    task = replace(task_of(features, data, vocabulary, settings), reporter=told)
    fit = fit_classifier("linear", task, near)
    assert sum(told.done) == len(settings.cs) * len(vocabulary)
    return fit


def model_of(fit: Fit) -> LogisticRegression:
    assert isinstance(fit.classifier.detector, Linear)
    return fit.classifier.detector.model


def test_it_finds_the_columns_that_concepts_follow(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    fit = fitted(features, data, vocabulary, PLAN)
    strongest = np.abs(model_of(fit).weights).argmax(1)
    assert [CONCEPTS[column] for column in strongest] == list(fit.classifier.vocabulary.concepts)
    assert fit.metrics["score"] > 0.6


def test_the_strength_is_the_one_that_scores_best_on_the_held_out_part(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    fit = fitted(features, data, vocabulary, PLAN)
    scores = probabilities(model_of(fit), features.features[data.validation.rows])
    _, score = global_threshold(scores, data.validation.labels, data.validation.n_truth)
    assert score == pytest.approx(max(fit.metrics["score_by_c"].values()), abs=1e-6)


def test_a_strength_of_its_own_has_the_least_loss_of_each_concept(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    fit = fitted(features, data, vocabulary, changed(PLAN, c="per-concept"))
    truth = data.validation.labels.toarray().astype(bool)
    losses = []
    for c in CS:
        model = LogisticRegression(c).fit(features.features, data.train.labels, data.train.rows)
        p = probabilities(model, features.features[data.validation.rows]).astype(np.float64)
        losses.append(-np.where(truth, np.log(p), np.log1p(-p)).mean(axis=0))
    np.testing.assert_allclose(model_of(fit).c, np.array(CS)[np.argmin(losses, axis=0)])


def test_held_out_images_are_not_fitted(features: FeatureSet, data: Labelled, vocabulary: Vocabulary) -> None:
    """Other labels for the held-out images change the thresholds, never the weights of one strength."""
    upset = data.labels.toarray()
    upset[data.held] = 1 - upset[data.held]
    other = replace(data, labels=csr_array(upset))
    plan = changed(PLAN, cs=(0.1,))
    one, two = (fitted(features, part, vocabulary, plan) for part in (data, other))
    np.testing.assert_array_equal(model_of(one).weights, model_of(two).weights)
    assert one.metrics["threshold"] != two.metrics["threshold"]


def test_the_last_fit_is_of_all_images_and_the_figures_are_not(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    plan = changed(PLAN, cs=(0.1,))
    once, again = (fitted(features, data, vocabulary, changed(plan, refit=refit)) for refit in (False, True))
    whole = LogisticRegression(0.1).fit(features.features, data.labels, data.rows)
    np.testing.assert_allclose(model_of(again).weights, whole.weights, rtol=1e-2, atol=1e-3)
    assert np.abs(model_of(once).weights - whole.weights).max() > 0.01
    assert again.metrics["refitted_on"] == N
    assert again.metrics["score"] == once.metrics["score"]


def test_the_score_is_that_of_answers_by_rules_tuned_on_others(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    near = Nearest(data.train.labels[:HELD], np.linspace(0, 1, HELD, dtype=np.float32))
    fit = fitted(features, data, vocabulary, ClassifySettings(cs=CS), near)
    assert set(fit.metrics["rules"]) == set(CANDIDATES)
    best = max(fit.metrics["rules"].values(), key=lambda figures: figures["score"])
    chosen = fit.metrics["rules"][fit.metrics["rule"]]
    assert chosen["score"] == best["score"] or best["gain"] <= best["spread"]
    score = mean_image_f1(fit.trial.answers, data.validation.labels, data.validation.n_truth)
    assert fit.metrics["score"] == pytest.approx(score)
    assert fit.metrics["score"] == pytest.approx(chosen["score"])


def test_rules_that_copy_are_tried_only_with_neighbours(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    fit = fitted(features, data, vocabulary, ClassifySettings(cs=(0.1,)))
    assert set(fit.metrics["rules"]) == {name for name in CANDIDATES if not name.endswith("nearest")}


def test_a_window_is_decided_by_one_cut_and_keeps_to_its_concepts(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    last = vocabulary.window(2, 2)
    part = replace(data, labels=csr_array(data.labels[:, 2:]))
    fit = fitted(features, part, last, ClassifySettings(cs=CS, offset=2))
    assert fit.metrics["rule"] == "global"
    assert fit.trial.answers.shape == (HELD, 2)
    assert fit.classifier.decision.calibration.slopes.shape == (2,)
    # As a part of a join, answers are rarer than for a window that stands alone.
    alone = fitted(features, part, last, PLAN)
    assert fit.trial.answers.sum() < alone.trial.answers.sum()


def test_the_table_has_a_row_for_each_concept(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    fit = fitted(features, data, vocabulary, PLAN)
    assert list(fit.table["concept"]) == list(vocabulary.concepts)
    assert fit.table["support"].tolist() == data.validation.labels.toarray().sum(0).tolist()
    assert (fit.table["threshold"] == np.float32(fit.metrics["threshold"])).all()


def test_a_stopped_fit_goes_on_to_the_same_weights(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    class Stopping(Silent):
        @contextmanager
        def progress(self, label: str, total: int, unit: str) -> Iterator[Advance]:
            def stop(n: int) -> None:
                if len(list(tmp_path.glob("*.safetensors"))) == 2:
                    raise InterruptedError("somebody pressed Ctrl-C")

            yield stop

    task = task_of(features, data, vocabulary, ClassifySettings(cs=CS, rule="global"))
    with pytest.raises(InterruptedError, match="pressed"):
        fit_classifier("linear", replace(task, cache=tmp_path, reporter=Stopping()))
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.safetensors")}
    whole = fit_classifier("linear", task)
    went_on = fit_classifier("linear", replace(task, cache=tmp_path))
    np.testing.assert_array_equal(model_of(went_on).weights, model_of(whole).weights)
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
    fit = fitted(
        features, one, vocabulary, ClassifySettings(cs=CS, c="per-concept" if per_concept else "auto")
    )
    assert fit.metrics["score"] > 0.5
    assert np.isfinite(model_of(fit).weights).all()
    assert np.isfinite(fit.trial.scores).all()
    rare = fit.trial.answers[:, [3]].sum()
    assert rare <= (5 if part == "fitted" else HELD)


def test_of_equally_good_strengths_the_first_is_taken(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    fit = fitted(features, data, vocabulary, changed(PLAN, cs=(0.1, 0.1 + 1e-12)))
    assert fit.metrics["c"] == 0.1


def test_the_similarity_of_a_copy_is_written_down_only_where_a_rule_copies(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    right = Nearest(data.validation.labels, np.ones(HELD, np.float32))
    settings = changed(PLAN, rule="calibrated+nearest", cs=(0.1,))
    copying = fitted(features, data, vocabulary, settings, right)
    assert copying.metrics["copied_from_similarity"] == 1.0
    assert "copied_from_similarity" not in fitted(features, data, vocabulary, PLAN).metrics
