from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.errors import DataError
from imageclef.retrieval import measures
from imageclef.retrieval.measures import quality, random_rows

Sets = list[set[int]]


def labels_of(sets: Sets, n_concepts: int = 6) -> csr_array:
    dense = np.zeros((len(sets), n_concepts), np.uint8)
    for row, concepts in enumerate(sets):
        dense[row, sorted(concepts)] = 1
    return csr_array(dense)


def by_loops(
    rows: list[list[int]], queries: Sets, images: Sets, own: list[int] | None
) -> tuple[float, float, float]:
    """Precision, average precision and nDCG as their definitions read, one query at a time."""
    table = []
    for number, (query, found) in enumerate(zip(queries, rows, strict=True)):
        gain = [len(query & image) / len(query | image) if query | image else 0.0 for image in images]
        if own is not None:
            gain[own[number]] = 0.0
        n_relevant = sum(one > 0 for one in gain)
        if not n_relevant:
            continue
        precisions, hits = [], 0
        for rank, row in enumerate(found, start=1):
            if gain[row] > 0:
                hits += 1
                precisions.append(hits / rank)
        dcg = sum(gain[row] / math.log2(rank + 1) for rank, row in enumerate(found, start=1))
        ideal = sorted(gain, reverse=True)[: len(found)]
        best = sum(one / math.log2(rank + 1) for rank, one in enumerate(ideal, start=1))
        table.append((hits / len(found), sum(precisions) / min(len(found), n_relevant), dcg / best))
    return tuple(np.mean(table, axis=0).tolist()) if table else (math.nan,) * 3


concept_sets = st.sets(st.integers(0, 5), max_size=4)


@settings(max_examples=80, deadline=None)
@given(
    images=st.lists(concept_sets, min_size=2, max_size=12),
    queries=st.lists(concept_sets, min_size=1, max_size=6),
    data=st.data(),
)
def test_measures_equal_plain_loops(images: Sets, queries: Sets, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(images)))
    rows = [data.draw(st.permutations(range(len(images))))[:k] for _ in queries]
    expected = by_loops(rows, queries, images, None)
    if math.isnan(expected[0]):
        with pytest.raises(DataError, match="shares a concept with an image of the collection"):
            quality(np.array(rows), labels_of(queries), labels_of(images))
        return
    found = quality(np.array(rows), labels_of(queries), labels_of(images))
    np.testing.assert_allclose((found.precision, found.average_precision, found.ndcg), expected, rtol=1e-12)
    assert found.k == k


def test_queries_of_the_collection_do_not_count_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "_BLOCK_NUMBERS", 20)
    rng = np.random.default_rng(0)
    images = [set(rng.choice(6, size=rng.integers(0, 4), replace=False).tolist()) for _ in range(15)]
    own = [3, 0, 14, 7, 7]
    rows = random_rows(5, 15, 6, own=np.array(own))
    queries = [images[row] for row in own]
    found = quality(rows, labels_of(queries), labels_of(images), own=np.array(own))
    expected = by_loops(rows.tolist(), queries, images, own)
    np.testing.assert_allclose((found.precision, found.average_precision, found.ndcg), expected, rtol=1e-12)
    rows[0, 2] = own[0]
    with pytest.raises(DataError, match="a query is in its own answer; expected it left out"):
        quality(rows, labels_of(queries), labels_of(images), own=np.array(own))


def test_a_perfect_search_scores_1_and_the_worst_0() -> None:
    images = [{0}, {0}, {1}, {2}]
    query = labels_of([{0}])
    perfect = quality(np.array([[1, 0]]), query, labels_of(images))
    assert (perfect.precision, perfect.average_precision, perfect.ndcg) == (1, 1, 1)
    worst = quality(np.array([[2, 3]]), query, labels_of(images))
    assert (worst.precision, worst.average_precision, worst.ndcg) == (0, 0, 0)
    later = quality(np.array([[2, 0]]), query, labels_of(images))
    assert later.ndcg == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))


def test_rates_of_groups_are_of_queries_that_could_be_answered() -> None:
    images = [{0, 3}, {1, 3}, {1}, {2}]
    queries = [{0, 4}, {1}, {4}, {5}]
    rows = np.array([[0, 1], [1, 3], [0, 1], [2, 3]])
    groups = {"modality": [0, 1, 2], "anatomy": [3, 4], "none": [5]}
    found = quality(rows, labels_of(queries), labels_of(images), groups).same
    assert found["modality"] == pytest.approx((1 / 2 + 1 / 2) / 2), "only the first two have a modality"
    assert math.isnan(found["anatomy"]), "no image has the query's"
    assert math.isnan(found["none"])
    alone = quality(
        np.array([[1], [2]]), labels_of([{0}, {1}]), labels_of(images), {"m": [0, 1]}, np.array([0, 1])
    )
    assert alone.same["m"] == 1, "the first query is the only one of its modality"


def test_random_rows_are_uniform_and_never_the_query() -> None:
    own = np.full(3000, 4)
    rows = random_rows(3000, 10, 3, seed=1, own=own)
    assert not (rows == 4).any()
    assert all(len(set(found)) == 3 for found in rows.tolist())
    counts: NDArray[np.int64] = np.bincount(rows.ravel(), minlength=10)
    assert counts[4] == 0
    assert np.delete(counts, 4) == pytest.approx(np.full(9, 1000), abs=120)
    assert random_rows(2, 5, 5).shape == (2, 5)
    with pytest.raises(DataError, match="k is 5; expected 1 to 4, the images that may be found"):
        random_rows(2, 5, 5, own=np.zeros(2, dtype=np.int64))


def test_shapes_that_do_not_fit_are_refused() -> None:
    images = labels_of([{0}, {1}])
    with pytest.raises(DataError, match=r"rows of shape \(1, 3\); expected \(1, k\) with k of 1 to 2"):
        quality(np.array([[0, 1, 1]]), labels_of([{0}]), images)
    with pytest.raises(DataError, match="labels of 7 and 6 concepts; expected one vocabulary"):
        quality(np.array([[0]]), labels_of([{0}], 7), images)
