from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.runs.members import (
    LEAST_OPINION,
    Member,
    Pool,
    answered,
    as_probabilities,
    centred,
    own_cut,
    weighted_mean,
)

Floats = NDArray[np.float32]
probabilities = st.floats(0, 1, width=32)
matrices = hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=probabilities)
levels = st.sampled_from([np.float32(level / 4) for level in range(5)])


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Floats], NDArray[np.bool_], NDArray[np.int64]]:
    """Scores of few distinct values, so that ties are common; each image's truth has a concept somewhere."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 5)))
    scores = draw(st.lists(hnp.arrays(np.float32, shape, elements=levels), min_size=1, max_size=3))
    truth = draw(hnp.arrays(np.bool_, shape))
    outside = draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, 2)))
    return scores, truth, np.maximum(1, truth.sum(axis=1) + outside)


def slow_answers(scores: Floats, cut: float, every: bool, most: int = 100) -> list[set[int]]:
    answers = []
    for row in scores:
        ranked = sorted((column for column in range(len(row)) if row[column] > 0), key=lambda c: (-row[c], c))
        reached = [column for column in ranked if row[column] >= np.float32(cut)]
        highest = [column for column in ranked if row[column] == row.max()]
        answers.append(set((reached or (highest if every else []))[:most]))
    return answers


def slow_f1(answers: list[set[int]], truth: NDArray[np.bool_], n_truth: NDArray[np.int64]) -> float:
    hits = [len(given & set(np.flatnonzero(row))) for given, row in zip(answers, truth, strict=True)]
    sizes = [len(given) + size for given, size in zip(answers, n_truth, strict=True)]
    return float(np.mean([2 * hit / size for hit, size in zip(hits, sizes, strict=True)]))


def slow_best(scores: Floats, truth: NDArray[np.bool_], n_truth: NDArray[np.int64], every: bool) -> float:
    cuts = [*np.unique(scores[scores > 0]), 2.0]
    return max(slow_f1(slow_answers(scores, cut, every), truth, n_truth) for cut in cuts)


def as_sets(answers: csr_array) -> list[set[int]]:
    return [set(np.flatnonzero(row).tolist()) for row in answers.toarray()]


@given(matrices, st.floats(1e-6, 1 - 1e-6))
def test_centring_keeps_order_and_answers(scores: Floats, cut: float) -> None:
    cut = float(np.float32(cut))
    moved = centred(csr_array(scores), cut).toarray()
    assert np.array_equal(moved >= 0.5, scores >= cut)
    order = np.argsort(scores, axis=None, kind="stable")
    assert np.all(np.diff(moved.ravel()[order]) >= 0)
    assert not ((moved > 0) & (moved < LEAST_OPINION)).any()


def test_centring_subtracts_the_cut_in_log_odds() -> None:
    scores = np.array([[0.2, 0.05, 0.8, 0.9, 0.001]], np.float32)
    moved = centred(csr_array(scores), 0.2).toarray()
    log_odds = np.log(scores / (1 - scores)) - np.log(0.2 / 0.8)
    expected = 1 / (1 + np.exp(-log_odds.astype(np.float64)))
    assert moved[0, :4] == pytest.approx(expected[0, :4], rel=1e-6)
    assert moved[0, 4] == 0


def test_the_neighbour_of_the_cut_stays_below_it() -> None:
    """Tried where float32 numbers are densest for their size, just below powers of two, and elsewhere."""
    powers = np.float32(2) ** -np.arange(1, 20, dtype=np.float32)
    near = np.nextafter(powers, np.float32(0))
    some = np.random.default_rng(0).uniform(1e-4, 1, 500).astype(np.float32)
    for cut in (*powers, *near, *np.nextafter(near, np.float32(0)), *some, np.float32(1 - 2**-24)):
        scores = np.array([[cut, np.nextafter(cut, np.float32(0))]], np.float32)
        moved = centred(csr_array(scores), float(cut)).toarray()
        assert (moved >= 0.5).tolist() == [[True, False]]


@pytest.mark.parametrize("cut", [0.0, 1.0])
def test_answers_are_not_moved(cut: float) -> None:
    scores = csr_array(np.array([[1, 0, 1], [0, 0, 0]], np.float32))
    assert np.array_equal(centred(scores, cut).toarray(), scores.toarray())


@given(matrices, st.floats(0.01, 0.99))
def test_moving_back_gives_the_probabilities_of_a_single_member(scores: Floats, cut: float) -> None:
    moved = centred(csr_array(scores), cut)
    back = as_probabilities(weighted_mean([moved], [3]), [cut], [3]).toarray()
    stored = moved.toarray() > 0
    assert back[stored] == pytest.approx(scores[stored], rel=1e-3, abs=1e-4)
    assert not back[~stored].any()


@given(problems(), st.lists(st.integers(1, 9), min_size=3, max_size=3), st.permutations(range(3)))
def test_the_mean_is_the_mean_in_any_order(
    problem: tuple[list[Floats], object, object], weights: list[int], order: list[int]
) -> None:
    moved = [centred(csr_array(scores), 0.3) for scores in problem[0]]
    weights = weights[: len(moved)]
    mean = weighted_mean(moved, weights).toarray()
    expected = np.average([matrix.toarray() for matrix in moved], axis=0, weights=weights)
    assert mean == pytest.approx(expected, rel=1e-6)
    order = [number for number in order if number < len(moved)]
    again = weighted_mean([moved[number] for number in order], [weights[number] for number in order])
    assert np.array_equal(mean, again.toarray())


@given(problems(), st.sampled_from([0.0, 0.2, 0.25, 0.5, 1.0, 2.0]), st.integers(1, 6))
def test_answers_are_the_slow_ones(
    problem: tuple[list[Floats], object, object], cut: float, most: int
) -> None:
    scores = problem[0][0]
    assert as_sets(answered(csr_array(scores), cut, most)) == slow_answers(scores, cut, True, most)


@settings(max_examples=200)
@given(problems(), st.booleans())
def test_the_best_cut_is_brute_force(
    problem: tuple[list[Floats], NDArray[np.bool_], NDArray[np.int64]], every: bool
) -> None:
    scores, truth, n_truth = problem
    pool = Pool([csr_array(matrix) for matrix in scores], csr_array(truth), n_truth)
    mean = np.mean(np.asarray(scores, np.float64), axis=0).astype(np.float32)
    cut, score = pool.best_cut(pool.scores.mean(axis=0, dtype=np.float64).astype(np.float32), every)
    assert score == pytest.approx(slow_best(mean, truth, n_truth, every), abs=1e-12)
    assert slow_f1(slow_answers(mean, cut, every), truth, n_truth) == pytest.approx(score, abs=1e-12)
    if every:
        assert pool.best_mean(np.ones(len(scores), np.int64)) == (cut, score)


@given(problems())
def test_the_own_cut_is_the_best_for_the_scores_as_they_are(
    problem: tuple[list[Floats], NDArray[np.bool_], NDArray[np.int64]],
) -> None:
    scores, truth, n_truth = problem
    member = Member("a", csr_array(scores[0]), csr_array(scores[0] > 0.5))
    cut = own_cut(member, csr_array(truth), n_truth)
    reached = slow_f1(slow_answers(scores[0], cut, False), truth, n_truth)
    assert reached == pytest.approx(slow_best(scores[0], truth, n_truth, False), abs=1e-12)


def test_a_vocabulary_of_a_hundred_thousand_concepts_is_packed() -> None:
    rng = np.random.default_rng(0)
    columns = np.sort(rng.choice(100_000, (300, 20)), axis=1)
    starts = np.arange(0, columns.size + 1, 20)
    values = rng.uniform(0.1, 1, columns.size).astype(np.float32)
    scores = csr_array((values, columns.ravel(), starts), shape=(300, 100_000))
    scores.sum_duplicates()
    labels = csr_array(scores > 0.7)
    pool = Pool([scores, scores], labels, np.maximum(1, np.diff(labels.indptr)))
    assert pool.scores.shape == (2, scores.nnz)
    cut, score = pool.best_mean(np.array([1, 1]))
    assert cut > 0.7
    assert score == 1.0


@pytest.mark.parametrize("cut", [0.0, 1.0])
def test_scores_that_are_answers_already_stay_as_they_are(cut: float) -> None:
    scores = csr_array(np.array([[0.25, 1.0], [0.5, 0.0]], np.float32))
    np.testing.assert_array_equal(centred(scores, cut).toarray(), scores.toarray())


def test_the_least_opinion_is_one() -> None:
    scores = csr_array(np.array([[1 / 64, np.nextafter(np.float32(1 / 64), np.float32(0))]], np.float32))
    assert centred(scores, 0.0).indices.tolist() == [0]


def test_a_score_of_zero_that_is_stored_is_not_answered() -> None:
    stored = csr_array((np.array([0.0], np.float32), np.array([1]), np.array([0, 1])), shape=(1, 2))
    assert answered(stored, 0.0, 5).nnz == 0
