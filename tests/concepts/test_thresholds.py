from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.sparse import csr_array

from imageclef.concepts.thresholds import (
    apply_thresholds,
    expected_f1_top_k,
    global_threshold,
    limit,
    mean_image_f1,
    per_concept_thresholds,
)

Case = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Scores with many ties, labels, and truths that may go beyond the vocabulary or be empty."""
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, 5)))
    grades = draw(arrays.arrays(np.int64, shape, elements=st.integers(0, 6)))
    labels = draw(arrays.arrays(bool, shape))
    beyond = draw(arrays.arrays(np.int64, shape[0], elements=st.integers(0, 2)))
    return (grades / 6).astype(np.float32), labels, labels.sum(1) + beyond


def slow_f1(predicted: np.ndarray, labels: np.ndarray, n_truth: np.ndarray) -> float:
    scores = []
    for answer, truth, n in zip(predicted, labels, n_truth, strict=True):
        if n == 0:
            continue
        right = sum(bool(a and t) for a, t in zip(answer, truth, strict=True))
        scores.append(2 * right / (sum(map(bool, answer)) + n))
    return sum(scores) / len(scores) if scores else 0.0


def best_cut_by_force(scores: np.ndarray, labels: np.ndarray, n_truth: np.ndarray) -> float:
    cuts = [*np.unique(scores), np.inf]
    return max(slow_f1(scores >= cut, labels, n_truth) for cut in cuts)


@given(cases())
def test_the_mean_equals_a_loop(case: Case) -> None:
    scores, labels, n_truth = case
    predicted = scores > 0.5
    found = mean_image_f1(csr_array(predicted), csr_array(labels), n_truth)
    assert found == pytest.approx(slow_f1(predicted, labels, n_truth), abs=1e-12)


@given(cases())
def test_the_global_threshold_equals_brute_force_over_all_cuts(case: Case) -> None:
    scores, labels, n_truth = case
    threshold, score = global_threshold(scores, csr_array(labels), n_truth)
    assert score == pytest.approx(best_cut_by_force(scores, labels, n_truth), abs=1e-12)
    assert score == pytest.approx(slow_f1(scores >= np.float32(threshold), labels, n_truth), abs=1e-12)


@given(cases())
@settings(deadline=None)
def test_coordinate_ascent_never_loses_and_ends_where_no_single_threshold_gains(case: Case) -> None:
    scores, labels, n_truth = case
    start, before = global_threshold(scores, csr_array(labels), n_truth)
    thresholds = per_concept_thresholds(scores, csr_array(labels), n_truth, start, sweeps=50)
    after = slow_f1(scores >= thresholds, labels, n_truth)
    assert after >= before - 1e-12
    for concept in range(scores.shape[1]):
        for cut in [*np.unique(scores[:, concept]), np.inf]:
            other = thresholds.copy()
            other[concept] = cut
            assert slow_f1(scores >= other, labels, n_truth) <= after + 1e-9


def test_coordinate_ascent_gains_where_concepts_differ() -> None:
    scores = np.array([[0.9, 0.2], [0.8, 0.3], [0.7, 0.1], [0.6, 0.4]], np.float32)
    labels = np.array([[1, 0], [1, 1], [1, 0], [0, 1]], bool)
    n_truth = labels.sum(1)
    start, before = global_threshold(scores, csr_array(labels), n_truth)
    thresholds = per_concept_thresholds(scores, csr_array(labels), n_truth, start)
    assert slow_f1(scores >= thresholds, labels, n_truth) == 1.0 > before


@given(cases())
def test_expected_f1_takes_the_best_k_of_each_image(case: Case) -> None:
    probabilities, _, _ = case
    answered = expected_f1_top_k(probabilities).toarray()
    for row, kept in zip(probabilities.astype(float), answered, strict=True):
        ranked = np.sort(row)[::-1]
        values = [2 * ranked[:k].sum() / (k + row.sum()) for k in range(1, len(row) + 1)]
        assert 2 * row[kept].sum() / (kept.sum() + row.sum()) == pytest.approx(max(values), abs=1e-9)


@given(cases(), st.integers(1, 4))
def test_the_limit_keeps_the_most_certain(case: Case, most: int) -> None:
    scores, _, _ = case
    predicted = apply_thresholds(scores, 0.3)
    kept = limit(scores, predicted, most).toarray()
    for row, before, after in zip(scores, predicted.toarray(), kept, strict=True):
        assert after.sum() == min(before.sum(), most)
        assert not (after & ~before).any()
        dropped = before & ~after
        if dropped.any():
            assert row[dropped].max() <= row[after].min()


def test_thresholds_apply_to_columns() -> None:
    scores = np.array([[0.5, 0.5], [0.4, 0.9]], np.float32)
    found = apply_thresholds(scores, np.array([0.5, 0.6], np.float32)).toarray()
    assert found.tolist() == [[True, False], [False, True]]


def test_without_truth_nothing_is_answered() -> None:
    scores, labels = np.ones((3, 2), np.float32), csr_array((3, 2), dtype=bool)
    assert global_threshold(scores, labels, np.zeros(3, np.int64)) == (float("inf"), 0.0)
    assert mean_image_f1(csr_array(scores > 0), labels, np.zeros(3, np.int64)) == 0.0
