from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn import metrics

from imageclef.concepts.metrics import concept_table, macro_f1, mean_average_precision, micro_f1


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = random.random((60, 5)) < [0.5, 0.2, 0.05, 0.0, 1.0]
    scores = (0.4 * labels + random.random(labels.shape)).round(1).astype(np.float32)
    return scores, scores > 0.7, labels


def test_every_column_equals_scikit_learn(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    scores, predicted, labels = drawn
    table = concept_table(scores, csr_array(predicted), csr_array(labels))
    expected = metrics.precision_recall_fscore_support(labels, predicted, zero_division=0)
    for column, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(table[column], values)
    np.testing.assert_array_equal(table["predicted"], predicted.sum(0))
    for concept in (0, 1, 2, 4):
        exact = metrics.average_precision_score(labels[:, concept], scores[:, concept])
        assert table["average_precision"][concept] == pytest.approx(exact)
    assert np.isnan(table["average_precision"][3])


def test_means_equal_scikit_learn(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    scores, predicted, labels = drawn
    table = concept_table(scores, csr_array(predicted), csr_array(labels))
    present = labels.any(0)
    assert micro_f1(table) == pytest.approx(metrics.f1_score(labels, predicted, average="micro"))
    exact = metrics.f1_score(labels[:, present], predicted[:, present], average="macro")
    assert macro_f1(table) == pytest.approx(exact)
    exact = metrics.average_precision_score(labels[:, present], scores[:, present], average="macro")
    assert mean_average_precision(table) == pytest.approx(exact)
