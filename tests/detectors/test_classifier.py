from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from imageclef.config import ClassifySettings
from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.classifier import Classifier
from imageclef.detectors.fitting import fit_classifier
from imageclef.detectors.rules import Nearest
from imageclef.detectors.task import Rows, Task
from imageclef.errors import ArtifactError
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled
from imageclef.learners.checkpoint import load_tensors, save_tensors
from tests.detectors.conftest import HELD, N


@pytest.fixture(scope="module", params=["global", "per-concept", "expected-f1+nearest"])
def classifier(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary, request: pytest.FixtureRequest
) -> Classifier:
    near = Nearest(data.validation.labels, np.linspace(0, 1, HELD, dtype=np.float32))
    settings = ClassifySettings(cs=(0.1,), rule=request.param)
    task = Task(Rows(features.ids, features.features), data, vocabulary, settings)
    return fit_classifier("linear", task, near).classifier


@pytest.fixture(scope="module")
def nearest(data: Labelled) -> Nearest:
    return Nearest(data.labels, np.linspace(0, 1, N, dtype=np.float32))


def all_answers(
    classifier: Classifier, features: FeatureSet, nearest: Nearest, most: int
) -> list[tuple[str, ...]]:
    return list(
        chain.from_iterable(
            lists for lists, _ in classifier.answers(Rows(features.ids, features.features), nearest, most)
        )
    )


def test_what_is_loaded_answers_as_what_was_saved(
    classifier: Classifier, features: FeatureSet, nearest: Nearest, tmp_path: Path
) -> None:
    classifier.save(tmp_path)
    answers = all_answers(classifier, features, nearest, 100)
    again = Classifier.load(tmp_path)
    assert all_answers(again, features, nearest, 100) == answers
    assert again.asks_for_neighbours == classifier.asks_for_neighbours
    assert len(answers) == N
    limited = all_answers(classifier, features, nearest, 1)
    assert all(len(concepts) <= 1 for concepts in limited)
    assert all(set(few) <= set(many) for few, many in zip(limited, answers, strict=True))


def test_blocks_change_nothing(
    classifier: Classifier, features: FeatureSet, nearest: Nearest, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = all_answers(classifier, features, nearest, 100)
    monkeypatch.setattr("imageclef.detectors.classifier._BLOCK", 17)
    assert all_answers(classifier, features, nearest, 100) == whole


def test_an_image_like_one_of_training_gets_its_concepts(
    features: FeatureSet, data: Labelled, vocabulary: Vocabulary
) -> None:
    """Neighbours that are always right are always asked."""
    right = Nearest(data.validation.labels, np.ones(HELD, np.float32))
    settings = ClassifySettings(cs=(0.1,), rule="calibrated+nearest")
    task = Task(Rows(features.ids, features.features), data, vocabulary, settings)
    classifier = fit_classifier("linear", task, right).classifier
    assert classifier.asks_for_neighbours
    near = Nearest(data.labels, np.ones(N, np.float32))
    answers = all_answers(classifier, features, near, 100)
    truth = vocabulary.concepts_of(data.labels)
    assert [answer for answer, concepts in zip(answers, truth, strict=True) if concepts] == list(
        filter(None, truth)
    )


def test_a_damaged_file_is_named(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save(tmp_path)
    path = tmp_path / "classifier.safetensors"
    tensors, about = load_tensors(path)
    del tensors["rule.parameters"]
    save_tensors(path, tensors, about)
    with pytest.raises(ArtifactError, match=r"no 'rule\.parameters'; expected a classifier of this version"):
        Classifier.load(tmp_path)
    path.write_bytes(b"short")
    with pytest.raises(ArtifactError, match=r"classifier\.safetensors: not a checkpoint"):
        Classifier.load(tmp_path)
