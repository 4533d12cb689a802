from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imageclef.concepts.classifier import Classifier, Fit, fit_classifier
from imageclef.concepts.thresholds import global_threshold
from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import ArtifactError
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled

N, HELD = 300, 80
CONCEPTS = [f"C{n:07}" for n in range(4)]


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    folder = tmp_path_factory.mktemp("features")
    matrix = FeatureSet.create(folder, [f"i{n:03}" for n in range(N)], 6)
    matrix[:] = np.random.default_rng(0).normal(size=(N, 6))
    matrix.flush()
    return FeatureSet.open(folder)


@pytest.fixture(scope="module")
def lists(features: FeatureSet) -> list[tuple[str, ...]]:
    """Each concept follows one column, the later ones with a rarer cut, all with noise."""
    noise = np.random.default_rng(1).normal(scale=0.5, size=(N, 4))
    present = features.features[:, :4] + noise > [0.0, 0.5, 1.0, 1.5]
    return [tuple(np.array(CONCEPTS)[row]) for row in present]


@pytest.fixture(scope="module")
def data(lists: list[tuple[str, ...]]) -> tuple[Labelled, Vocabulary]:
    vocabulary = Vocabulary.count(lists)
    rows = np.random.default_rng(2).permutation(N)
    held = np.arange(N) < HELD
    chosen = [lists[row] for row in rows]
    return Labelled(rows, held, vocabulary.labels(chosen), np.array([len(c) for c in chosen])), vocabulary


def fitted(features: FeatureSet, data: tuple[Labelled, Vocabulary], rule: str = "global") -> Fit:
    told: list[int] = []
    fit = fit_classifier(features, *data, (0.01, 0.1, 1.0), rule, False, "cpu", told.append)
    assert sum(told) == 3 * len(CONCEPTS)
    return fit


def test_it_finds_the_columns_that_concepts_follow(
    features: FeatureSet, data: tuple[Labelled, Vocabulary]
) -> None:
    fit = fitted(features, data)
    strongest = np.abs(fit.classifier.model.weights).argmax(1)
    assert [CONCEPTS[column] for column in strongest] == list(fit.classifier.vocabulary.concepts)
    assert fit.figures["score"] > 0.6


def test_the_strength_is_the_one_that_scores_best_on_the_held_out_part(
    features: FeatureSet, data: tuple[Labelled, Vocabulary]
) -> None:
    fit, tuned = fitted(features, data), data[0].tuned
    scores = fit.classifier.model.predict_proba(np.asarray(features.features[tuned.rows]))
    _, score = global_threshold(scores, tuned.labels, tuned.n_truth)
    assert score == pytest.approx(max(fit.figures["score_by_c"].values()), abs=1e-6)


def test_held_out_images_are_not_fitted(features: FeatureSet, data: tuple[Labelled, Vocabulary]) -> None:
    """Other labels for the held-out images change the thresholds, never the weights of one strength."""
    whole, vocabulary = data
    upset = whole.labels.toarray()
    upset[whole.held] = 1 - upset[whole.held]
    other = Labelled(whole.rows, whole.held, type(whole.labels)(upset), whole.n_truth)
    one, two = (
        fit_classifier(features, part, vocabulary, (0.1,), "global", False, "cpu", lambda n: None)
        for part in (whole, other)
    )
    np.testing.assert_array_equal(one.classifier.model.weights, two.classifier.model.weights)
    assert one.figures["threshold"] != two.figures["threshold"]


def test_thresholds_per_concept_do_not_lose(features: FeatureSet, data: tuple[Labelled, Vocabulary]) -> None:
    fit = fitted(features, data, "per-concept")
    assert fit.figures["score"] >= fit.figures["score_global"] - 1e-9
    assert len(set(fit.classifier.thresholds)) > 1


def test_what_is_loaded_answers_as_what_was_saved(
    features: FeatureSet, data: tuple[Labelled, Vocabulary], tmp_path: Path
) -> None:
    classifier = fitted(features, data).classifier
    classifier.save(tmp_path)
    answers = classifier.answers(features, 100)
    assert Classifier.load(tmp_path).answers(features, 100) == answers
    assert list(answers) == features.ids
    limited = classifier.answers(features, 1)
    assert all(len(concepts) <= 1 for concepts in limited.values())
    assert all(set(limited[image_id]) <= set(answers[image_id]) for image_id in answers)


def test_a_damaged_file_is_named(
    features: FeatureSet, data: tuple[Labelled, Vocabulary], tmp_path: Path
) -> None:
    fitted(features, data).classifier.save(tmp_path)
    (tmp_path / "classifier.safetensors").write_bytes(b"short")
    with pytest.raises(ArtifactError, match=r"classifier\.safetensors: not a checkpoint"):
        Classifier.load(tmp_path)


def test_the_table_has_a_row_for_each_concept(
    features: FeatureSet, data: tuple[Labelled, Vocabulary]
) -> None:
    table = fitted(features, data).table
    assert list(table["concept"]) == list(data[1].concepts)
    assert table["support"].tolist() == data[0].tuned.labels.toarray().sum(0).tolist()
