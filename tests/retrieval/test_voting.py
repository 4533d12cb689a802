from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.errors import DataError
from imageclef.retrieval import voting
from imageclef.retrieval.voting import (
    Choice,
    most_frequent,
    similarities,
    union,
    vote,
    vote_scores,
    weighted_vote,
)

Rows = NDArray[np.int64]
Lists = list[set[int]]
N_CONCEPTS = 7


@st.composite
def neighbourhoods(draw: st.DrawFn) -> tuple[Rows, NDArray[np.float64], Lists]:
    """Rows of neighbours, weights that add up exactly, and the concepts of each training image."""
    n_train, k = draw(st.integers(1, 9)), draw(st.integers(1, 5))
    n_queries = draw(st.integers(0, 5))
    lists = draw(st.lists(st.sets(st.integers(0, N_CONCEPTS - 1)), min_size=n_train, max_size=n_train))
    near = st.lists(st.integers(0, n_train - 1), min_size=k, max_size=k)
    rows = draw(st.lists(near, min_size=n_queries, max_size=n_queries))
    weights = draw(st.lists(st.integers(0, 4), min_size=n_queries * k, max_size=n_queries * k))
    shape = (n_queries, k)
    return np.array(rows, np.int64).reshape(shape), np.array(weights, float).reshape(shape), lists


def matrix(lists: Lists) -> csr_array:
    dense = np.zeros((len(lists), N_CONCEPTS), np.uint8)
    for row, concepts in enumerate(lists):
        dense[row, sorted(concepts)] = 1
    return csr_array(dense)


def answered(answers: csr_array) -> Lists:
    assert answers.dtype == np.bool_
    return [set(np.flatnonzero(row).tolist()) for row in answers.toarray()]


@given(neighbourhoods())
def test_union_is_the_union(case: tuple[Rows, NDArray[np.float64], Lists]) -> None:
    rows, _, lists = case
    assert answered(union(rows, matrix(lists))) == [
        set().union(*(lists[row] for row in near)) for near in rows
    ]


@given(neighbourhoods())
def test_scores_add_the_weights_of_the_neighbours(case: tuple[Rows, NDArray[np.float64], Lists]) -> None:
    rows, weights, lists = case
    expected = np.zeros((len(rows), N_CONCEPTS))
    for query, near in enumerate(rows):
        for row, weight in zip(near, weights[query], strict=True):
            for concept in lists[row]:
                expected[query, concept] += weight
    scores = vote_scores(rows, weights, matrix(lists))
    assert scores.shape == expected.shape
    np.testing.assert_array_equal(scores.toarray(), expected)
    assert (scores.data > 0).all()


def slow_most_frequent(near: list[int], lists: Lists, r: int | None) -> set[int]:
    counts = Counter(concept for row in near for concept in lists[row])
    mean = sum(len(lists[row]) for row in near) / len(near)
    wanted = max(1, int(mean + 0.5)) if r is None else r
    return set(sorted(counts, key=lambda concept: (-counts[concept], concept))[:wanted])


@given(neighbourhoods(), st.none() | st.integers(0, 5))
def test_most_frequent_equals_a_counter(case: tuple[Rows, NDArray[np.float64], Lists], r: int | None) -> None:
    rows, _, lists = case
    expected = [slow_most_frequent(near, lists, r) for near in rows.tolist()]
    assert answered(most_frequent(rows, matrix(lists), r)) == expected


@given(neighbourhoods(), st.sampled_from([0.125, 0.25, 0.5, 0.75, 1.0]))
def test_weighted_vote_equals_a_loop(case: tuple[Rows, NDArray[np.float64], Lists], threshold: float) -> None:
    rows, weights, lists = case
    # A neighbour of weight 2 to the power of something: shares are then exact.
    weights = np.where(weights.sum(axis=1, keepdims=True) > 0, weights, 0)
    for query, found in enumerate(answered(weighted_vote(rows, weights, matrix(lists), threshold))):
        total = weights[query].sum()
        for concept in range(N_CONCEPTS):
            share = sum(
                weight
                for row, weight in zip(rows[query], weights[query], strict=True)
                if concept in lists[row]
            )
            share = share / total if total else 0.0
            if abs(share - threshold) > 1e-9:
                assert (concept in found) == (share > threshold)


def test_the_threshold_is_reached_by_an_equal_share() -> None:
    labels = matrix([{0, 1}, {1}, {2}, {2}])
    rows, ones = np.array([[0, 1, 2, 3]]), np.ones((1, 4))
    assert answered(weighted_vote(rows, ones, labels, 0.5)) == [{1, 2}]
    assert answered(weighted_vote(rows, ones, labels, np.nextafter(np.float32(0.5), 1))) == [set()]
    assert answered(weighted_vote(rows, np.zeros((1, 4)), labels, 0.01)) == [set()]


def test_blocks_of_queries_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels = csr_array((rng.random((40, 30)) < 0.2).astype(np.uint8))
    rows, weights = rng.integers(0, 40, (23, 6)), rng.random((23, 6))
    whole = vote_scores(rows, weights, labels).toarray()
    monkeypatch.setattr(voting, "_BLOCK_QUERIES", 5)
    np.testing.assert_array_equal(vote_scores(rows, weights, labels).toarray(), whole)


def test_counts_do_not_overflow_the_type_of_the_labels() -> None:
    labels = matrix([{3}])
    assert vote_scores(np.zeros((1, 300), np.int64), np.ones((1, 300)), labels).toarray()[0, 3] == 300


def test_similarities_of_distances() -> None:
    distances = np.array([[2, 4, 8], [0, 0, 5], [1e-30, 1e-30, 1e30]], np.float32)
    np.testing.assert_allclose(
        similarities(distances, "l2"), [[1, 0.5, 0.25], [1, 1, 0], [1, 1, 0]], atol=1e-12
    )
    cosine = np.array([[0.5, 0, -0.25]], np.float32)
    np.testing.assert_array_equal(similarities(cosine, "cosine"), [[0.5, 0, 0]])


LABELS = matrix([{0, 1}, {1, 2}, {2, 3, 4}, {5}])
ROWS = np.array([[0, 1, 2, 3]])
DISTANCES = np.array([[1, 1, 2, 4]], np.float32)


def test_vote_asks_the_first_k_in_the_chosen_way() -> None:
    assert answered(vote(Choice("union", 2), ROWS, DISTANCES, "l2", LABELS)) == [{0, 1, 2}]
    assert answered(vote(Choice("most-frequent", 3, 1), ROWS, DISTANCES, "l2", LABELS)) == [{1}]
    assert answered(vote(Choice("most-frequent", 3), ROWS, DISTANCES, "l2", LABELS)) == [{1, 2}]
    # Weights 1, 1 and 1/2: concept 1 has 2 / 2.5, concept 2 has 1.5 / 2.5, concept 0 has 1 / 2.5.
    assert answered(vote(Choice("weighted", 3, 0.5), ROWS, DISTANCES, "l2", LABELS)) == [{1, 2}]
    assert answered(vote(Choice("weighted", 3, 0.7), ROWS, DISTANCES, "l2", LABELS)) == [{1}]


def test_vote_drops_the_smallest_votes_beyond_the_most() -> None:
    choice = Choice("union", 4)
    assert answered(vote(choice, ROWS, DISTANCES, "l2", LABELS, most=2)) == [{1, 2}]
    assert answered(vote(choice, ROWS, DISTANCES, "l2", LABELS, most=3)) == [{0, 1, 2}]
    assert answered(vote(choice, ROWS, DISTANCES, "l2", LABELS, most=99)) == [{0, 1, 2, 3, 4, 5}]
    assert answered(vote(choice, ROWS, -DISTANCES, "cosine", LABELS, most=99)) == [{0, 1, 2, 3, 4, 5}]


def test_vote_refuses_a_choice_that_is_none() -> None:
    choice = Choice("weighted", 3)
    with pytest.raises(DataError, match=r"vote 'weighted' with cut None; expected one of \('union'"):
        vote(choice, ROWS, DISTANCES, "l2", LABELS)
    with pytest.raises(DataError, match="vote 'loudest'"):
        vote(replace(choice, vote="loudest"), ROWS, DISTANCES, "l2", LABELS)  # type: ignore[arg-type]


@settings(max_examples=30)
@given(neighbourhoods(), st.integers(1, 4))
def test_the_most_is_never_exceeded_and_never_adds(
    case: tuple[Rows, NDArray[np.float64], Lists], most: int
) -> None:
    rows, weights, lists = case
    labels = matrix(lists)
    free = answered(vote(Choice("union", rows.shape[1]), rows, weights, "l2", labels))
    cut = answered(vote(Choice("union", rows.shape[1]), rows, weights, "l2", labels, most))
    for all_of_them, kept in zip(free, cut, strict=True):
        assert kept <= all_of_them
        assert len(kept) == min(most, len(all_of_them))
