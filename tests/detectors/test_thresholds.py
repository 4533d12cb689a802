from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import sparse

from imageclef.detectors.thresholds import (
    apply_thresholds,
    expected_f1_top_k,
    global_threshold,
    limit,
    mean_image_f1,
    per_concept_thresholds,
)
from imageclef.errors import TrainingError

Scored = tuple[NDArray[np.float32], sparse.csr_array, NDArray[np.int64]]


@st.composite
def scored_images(draw: st.DrawFn) -> Scored:
    """Few distinct scores, so that ties within and between images and concepts are common."""
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 5)))
    levels = draw(st.sampled_from([2, 5, 1000]))
    scores = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, levels))) / np.float32(levels)
    truth = draw(hnp.arrays(np.bool_, shape))
    outside = draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, 2)))
    return scores.astype(np.float32), sparse.csr_array(truth), truth.sum(1) + outside


def slow_f1(answers: NDArray[np.bool_], labels: sparse.csr_array, n_truth: NDArray[np.int64]) -> float:
    """The official score of sets, image by image; -1 where no image counts."""
    truth = labels.toarray()
    values = []
    for answered, true, size in zip(answers, truth, n_truth, strict=True):
        if size:
            a, t = set(np.flatnonzero(answered)), set(np.flatnonzero(true))
            values.append(2 * len(a & t) / (len(a) + size))
    return float(np.mean(values)) if values else -1.0


def cuts_of(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.append(np.unique(scores), np.nextafter(scores.max(), np.float32(np.inf)))


@given(scored_images())
def test_mean_image_f1_is_the_slow_one(data: Scored) -> None:
    scores, labels, n_truth = data
    answers = scores >= 0.5
    expected = max(slow_f1(answers, labels, n_truth), 0.0)
    assert mean_image_f1(sparse.csr_array(answers), labels, n_truth) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=300)
@given(scored_images())
def test_global_threshold_is_brute_force(data: Scored) -> None:
    scores, labels, n_truth = data
    if not n_truth.any():
        with pytest.raises(TrainingError, match="no image has a true concept"):
            global_threshold(scores, labels, n_truth)
        return
    threshold, score = global_threshold(scores, labels, n_truth)
    assert score == pytest.approx(
        max(slow_f1(scores >= t, labels, n_truth) for t in cuts_of(scores)), abs=1e-12
    )
    assert slow_f1(scores >= np.float32(threshold), labels, n_truth) == pytest.approx(score, abs=1e-12)


def slow_ascent(data: Scored, start: float, sweeps: int) -> NDArray[np.float32]:
    """Every cut of every concept tried in turn, the whole score computed anew each time."""
    scores, labels, n_truth = data
    thresholds = np.full(scores.shape[1], start, np.float32)
    for _ in range(sweeps):
        for concept in range(scores.shape[1]):
            counted = scores[n_truth > 0, concept]
            best = slow_f1(scores >= thresholds, labels, n_truth)
            for cut in cuts_of(counted)[::-1]:
                trial = thresholds.copy()
                trial[concept] = cut
                score = slow_f1(scores >= trial, labels, n_truth)
                if score > best + 1e-12:
                    best, thresholds = score, trial
    return thresholds


@settings(max_examples=200, deadline=None)
@given(scored_images(), st.integers(1, 3))
def test_coordinate_ascent_is_the_slow_one(data: Scored, sweeps: int) -> None:
    scores, labels, n_truth = data
    if not n_truth.any():
        return
    start, before = global_threshold(scores, labels, n_truth)
    fast = per_concept_thresholds(scores, labels, n_truth, start, sweeps)
    counted = n_truth > 0
    reached = slow_f1(scores >= fast, labels, n_truth)
    slow = slow_ascent(data, start, sweeps)
    assert np.array_equal((scores >= fast)[counted], (scores >= slow)[counted])
    assert reached >= before - 1e-12


def test_a_concept_that_only_harms_is_never_answered() -> None:
    scores = np.array([[0.9, 0.8], [0.8, 0.9], [0.7, 0.9]], np.float32)
    labels = sparse.csr_array(np.array([[1, 0], [1, 0], [1, 0]], bool))
    thresholds = per_concept_thresholds(scores, labels, np.array([1, 1, 1]), start=0.5)
    assert (scores >= thresholds).tolist() == [[True, False]] * 3
    assert thresholds[1] > np.float32(0.9)


def test_log_odds_and_infinite_scores_are_cut_as_well() -> None:
    scores = np.array([[-np.inf, 3.0], [np.inf, -2.0]], np.float32)
    labels = sparse.csr_array(np.array([[0, 1], [1, 0]], bool))
    assert global_threshold(scores, labels, np.array([1, 1])) == (3.0, 1.0)


@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(0, 1, width=32)
    )
)
def test_expected_f1_takes_the_best_k_of_each_image(probabilities: NDArray[np.float32]) -> None:
    chosen = expected_f1_top_k(probabilities, expected_outside=0.5).toarray()
    for p, answer in zip(probabilities.astype(float), chosen, strict=True):
        falling = np.sort(p)[::-1]
        values = [2 * falling[:k].sum() / (k + p.sum() + 0.5) for k in range(1, len(p) + 1)]
        assert 2 * p[answer].sum() / (answer.sum() + p.sum() + 0.5) == pytest.approx(max(values), abs=1e-9)
        assert answer.any()


def test_apply_thresholds_takes_one_or_one_for_each() -> None:
    scores = np.array([[0.2, 0.5], [0.5, 0.4]], np.float32)
    assert apply_thresholds(scores, 0.5).toarray().tolist() == [[False, True], [True, False]]
    each = apply_thresholds(scores, np.array([0.2, 0.45], np.float32))
    assert each.toarray().tolist() == [[True, True], [True, False]]
    threshold = float(np.float32(0.2))
    assert apply_thresholds(scores, threshold).nnz == 4


@given(scored_images(), st.integers(0, 5))
def test_limit_drops_the_least_certain(data: Scored, most: int) -> None:
    scores, predicted, _ = data
    before, kept = predicted.toarray(), limit(scores, predicted, most).toarray()
    for s, b, k in zip(scores, before, kept, strict=True):
        columns = sorted(np.flatnonzero(b), key=lambda concept: (-s[concept], concept))
        assert sorted(columns[:most]) == np.flatnonzero(k).tolist()
    assert np.array_equal(predicted.toarray(), before)


def test_equal_scores_are_answered_together() -> None:
    """Cutting within the ties at 0.5 would score 1, cutting after them 4/7: 0.9 is the best there is."""
    scores = np.array([[0.9, 0.5, 0.5, 0.5, 0.5]], np.float32)
    labels = sparse.csr_array(np.array([[1, 1, 0, 0, 0]], bool))
    threshold, score = global_threshold(scores, labels, np.array([2]))
    assert threshold == np.float32(0.9)
    assert score == pytest.approx(2 / 3)


def test_a_further_round_over_the_concepts_may_gain() -> None:
    gains = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        labels = random.random((40, 6)) < 0.3
        scores = (labels + random.normal(size=labels.shape)).astype(np.float32)
        truth, n_truth = sparse.csr_array(labels), labels.sum(1)
        one, more = (
            mean_image_f1(
                apply_thresholds(scores, per_concept_thresholds(scores, truth, n_truth, 0.5, sweeps)),
                truth,
                n_truth,
            )
            for sweeps in (1, 3)
        )
        gains.append(more - one)
    assert min(gains) >= 0
    assert max(gains) > 0


def test_of_many_equal_scores_the_earlier_columns_stay() -> None:
    high = np.random.default_rng(0).random(300) < 0.2
    scores = np.where(high, 0.6, 0.5).astype(np.float32)[None]
    kept = limit(scores, sparse.csr_array(np.ones((1, 300), bool)), 100)
    expected = np.sort(np.concatenate([np.flatnonzero(high), np.flatnonzero(~high)[: 100 - high.sum()]]))
    assert kept.indices.tolist() == expected.tolist()
