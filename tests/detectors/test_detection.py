from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.calibration import plain
from imageclef.detectors.classifier import Classifier
from imageclef.detectors.detection import Annotator
from imageclef.detectors.linear import Linear
from imageclef.detectors.logistic import LogisticRegression
from imageclef.detectors.rules import Rule, RuleName
from imageclef.detectors.selection import Decision
from imageclef.features.encoding import Encoded

VOCABULARY = Vocabulary(("C1", "C2", "C3"), (9, 5, 2))


def classifier(name: RuleName, numbers: list[float], copied_from: float = float("inf")) -> Classifier:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4)).astype(np.float32)
    labels = csr_array((features[:, :3] > 0).astype(np.uint8))
    model = LogisticRegression(1.0).fit(features, labels)
    return Classifier(
        VOCABULARY,
        Linear(VOCABULARY.concepts, model),
        Decision(plain(3), Rule(name, np.array(numbers, np.float32), copied_from)),
    )


ROW = Encoded(*[np.array([[1.5, -1.0, 0.1, 0.0]], np.float32)] * 2, {})


def test_one_cut_is_the_threshold_of_all() -> None:
    found = Annotator(classifier("global", [0.4]), 100).detect(ROW)
    assert found.thresholds is not None
    assert found.thresholds == pytest.approx([0.4] * 3)
    assert np.array_equal(found.answer, found.scores >= np.float32(0.4))
    assert found.answer.tolist()[:2] == [True, False]


def test_each_concept_has_its_own_cut() -> None:
    found = Annotator(classifier("per-concept", [0.99999, 0.0001, 0.5]), 100).detect(ROW)
    assert found.thresholds == pytest.approx([0.99999, 0.0001, 0.5])
    assert found.answer.tolist()[:2] == [False, True]


def test_a_rule_without_a_cut_has_no_thresholds() -> None:
    found = Annotator(classifier("fixed-k", [2]), 100).detect(ROW)
    assert found.thresholds is None
    assert found.answer.sum() == 2


@pytest.mark.parametrize(("similarity", "copied"), [(0.9, True), (0.7, False)])
def test_an_almost_equal_image_gives_its_concepts(similarity: float, copied: bool) -> None:
    labels = csr_array(np.array([[0, 0, 0], [0, 1, 1]], np.uint8))
    detector = Annotator(classifier("global", [0.4], 0.8), 100, lambda features: (1, similarity), labels)
    found = detector.detect(ROW)
    assert found.copied is copied
    assert (found.answer.tolist() == [False, True, True]) is copied


def test_no_more_concepts_than_the_edition_allows() -> None:
    found = Annotator(classifier("global", [0.0]), 2).detect(ROW)
    assert found.answer.sum() == 2
    assert not found.answer[np.argmin(found.scores)]
