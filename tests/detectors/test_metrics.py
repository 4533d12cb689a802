from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import sparse
from sklearn import metrics as oracle

from imageclef.detectors.metrics import average_precision, concept_table, macro_f1, micro_f1

Answered = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]


@st.composite
def answered_images(draw: st.DrawFn) -> Answered:
    shape = draw(st.tuples(st.integers(2, 9), st.integers(2, 5)))
    scores = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 4))).astype(np.float32)
    return scores, draw(hnp.arrays(np.bool_, shape)), draw(hnp.arrays(np.bool_, shape))


@given(answered_images())
def test_f1_is_that_of_scikit_learn(data: Answered) -> None:
    _, predicted, labels = data
    sparse_predicted, sparse_labels = sparse.csr_array(predicted), sparse.csr_array(labels)
    for ours, average in ((micro_f1, "micro"), (macro_f1, "macro")):
        expected = oracle.f1_score(labels, predicted, average=average, zero_division=0)
        assert ours(sparse_predicted, sparse_labels) == pytest.approx(expected, abs=1e-12)


@given(answered_images())
def test_average_precision_is_that_of_scikit_learn(data: Answered) -> None:
    scores, _, labels = data
    ours = average_precision(scores, sparse.csr_array(labels))
    for concept in range(labels.shape[1]):
        if labels[:, concept].any():
            expected = oracle.average_precision_score(labels[:, concept], scores[:, concept])
            assert ours[concept] == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(ours[concept])


@given(answered_images())
def test_the_table_is_that_of_scikit_learn(data: Answered) -> None:
    scores, predicted, labels = data
    table = concept_table(scores, sparse.csr_array(predicted), sparse.csr_array(labels))
    precision, recall, f1, support = oracle.precision_recall_fscore_support(
        labels, predicted, zero_division=0
    )
    assert list(table.columns) == [
        "support",
        "predicted",
        "true_positives",
        "precision",
        "recall",
        "f1",
        "average_precision",
    ]
    assert table["support"].tolist() == support.tolist()
    assert table["predicted"].tolist() == predicted.sum(0).tolist()
    assert table["true_positives"].tolist() == (predicted & labels).sum(0).tolist()
    np.testing.assert_allclose(table[["precision", "recall", "f1"]], np.stack([precision, recall, f1], 1))
