"""Promises of every detector in the table: a new one joins by being there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from scipy.special import expit

from imageclef.config import ClassifySettings
from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.base import Fitted
from imageclef.detectors.classifier import Classifier
from imageclef.detectors.fitting import fit_classifier
from imageclef.detectors.table import DETECTORS, choose
from imageclef.detectors.task import Rows, Task
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled

TaskOf = Callable[[str], Task]


@pytest.fixture
def task_of(features: FeatureSet, data: Labelled, vocabulary: Vocabulary, tmp_path: Path) -> TaskOf:
    matrix = features.features[:]
    table = pd.DataFrame(expit(2 * matrix[:, :4] - 1), columns=[f"C{n:07}" for n in range(4)])
    table.insert(0, "ID", features.ids)
    table.to_csv(tmp_path / "scores.csv", index=False)
    own = {"imported": {"scores": str(tmp_path / "scores.csv")}, "neighbours": {"ks": [3, 20]}}

    def task(name: str) -> Task:
        _, settings = choose({"name": name, **own.get(name, {})})
        return Task(Rows(features.ids, matrix), data, vocabulary, ClassifySettings(cs=(0.01, 0.1)), settings)

    return task


def changed_validation(task: Task) -> Task:
    """The same task with other labels for the validation part."""
    upset = task.data.labels.toarray()
    upset[task.data.held] = 1 - upset[task.data.held]
    return replace(task, data=replace(task.data, labels=csr_array(upset)))


@pytest.mark.parametrize("name", DETECTORS)
class TestEveryDetector:
    def test_it_says_something_of_the_images_that_it_has_not_seen(self, name: str, task_of: TaskOf) -> None:
        fit = fit_classifier(name, task_of(name))
        part = fit.classifier.detector
        assert part.concepts == fit.classifier.vocabulary.concepts
        assert fit.metrics["score"] > 0.5
        # Above what an answer without looking at the images scores.
        blind = replace(task_of(name), data=shuffled(task_of(name).data))
        assert fit.metrics["score"] > fit_classifier(name, blind).metrics["score"] + 0.05

    def test_log_odds_are_finite_and_of_each_image_by_itself(self, name: str, task_of: TaskOf) -> None:
        task = task_of(name)
        detector = DETECTORS[name].fit(task).detector
        whole = detector.log_odds(task.rows)
        assert whole.dtype == np.float32
        assert whole.shape == (len(task.rows), len(task.vocabulary))
        assert np.isfinite(whole).all()
        order = np.random.default_rng(0).permutation(len(task.rows))
        some = [detector.log_odds(task.rows.take(part)) for part in np.array_split(order, 7)]
        np.testing.assert_allclose(np.concatenate(some), whole[order], atol=1e-4)

    def test_validation_log_odds_are_those_of_the_detector(self, name: str, task_of: TaskOf) -> None:
        task = task_of(name)
        fitted: Fitted = DETECTORS[name].fit(task)
        asked = task.rows.take(task.data.validation.rows)
        np.testing.assert_allclose(fitted.log_odds, fitted.detector.log_odds(asked), atol=1e-4)

    def test_it_does_not_learn_from_the_validation_part(self, name: str, task_of: TaskOf) -> None:
        one = task_of(name)
        if name in ("neighbours", "ensemble"):  # they choose k by it, here there is one to choose
            settings = {"neighbours": {"ks": (3,)}, "ensemble": {"members": ("linear",)}}[name]
            one = replace(one, settings=one.settings.model_copy(update=settings))
        one = replace(one, classify=ClassifySettings(c=0.1))
        seen = [
            DETECTORS[name].fit(task).detector.log_odds(one.rows) for task in (one, changed_validation(one))
        ]
        np.testing.assert_array_equal(seen[0], seen[1])

    def test_saved_and_loaded_it_says_the_same(self, name: str, task_of: TaskOf, tmp_path: Path) -> None:
        task = task_of(name)
        classifier = fit_classifier(name, task).classifier
        classifier.save(tmp_path)
        again = Classifier.load(tmp_path)
        assert again.name == name
        np.testing.assert_array_equal(
            again.detector.log_odds(task.rows), classifier.detector.log_odds(task.rows)
        )


def shuffled(data: Labelled) -> Labelled:
    order = np.random.default_rng(5).permutation(len(data.rows))
    return replace(data, labels=csr_array(data.labels[order]), n_truth=data.n_truth[order])
