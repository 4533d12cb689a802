from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageclef.errors import DataError
from imageclef.retrieval.index import Index
from imageclef.service.served.search import Narrowed, NearestTrained, Searcher

CUIS = ("C1", "C2", "C3")
FEATURES = np.random.default_rng(3).normal(size=(40, 5)).astype(np.float32)
IDS = [f"i{row}" for row in range(len(FEATURES))]
LISTS = st.lists(st.sets(st.sampled_from(CUIS)), min_size=40, max_size=40)


@given(
    LISTS,
    st.sets(st.sampled_from(CUIS)),
    st.sets(st.sampled_from(CUIS)),
    st.integers(1, 50),
    st.sampled_from(["l2", "cosine"]),
)
def test_answers_are_those_of_a_plain_loop(
    lists: list[set[str]], required: set[str], forbidden: set[str], k: int, metric: Literal["l2", "cosine"]
) -> None:
    concepts = {image_id: tuple(sorted(one)) for image_id, one in zip(IDS, lists, strict=True)}
    searcher = Searcher(Index.build(FEATURES, IDS, metric), concepts)
    if not (required | forbidden) <= set().union(*lists):
        with pytest.raises(DataError, match="no image of the collection has concept"):
            searcher.by_vectors(FEATURES[:1], k, Narrowed(sorted(required), sorted(forbidden)))
        return
    found = searcher.by_vectors(FEATURES[:1], k, Narrowed(sorted(required), sorted(forbidden)), ["i0"])
    rows, query = FEATURES.astype(np.float64), FEATURES[0].astype(np.float64)
    if metric == "cosine":
        distances = 1 - rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
    else:
        distances = np.linalg.norm(rows - query, axis=1)
    passing = [row for row in range(1, 40) if required <= lists[row] and not forbidden & lists[row]]
    expected = sorted(passing, key=lambda row: distances[row])[:k]
    assert [one.image_id for one in found] == [IDS[row] for row in expected]
    assert [one.distance for one in found] == pytest.approx([distances[row] for row in expected], abs=1e-6)
    for one in found:
        assert (one.similarity is None) is (metric == "l2")
        if one.similarity is not None:
            assert one.similarity == pytest.approx(1 - one.distance)


def test_the_digest_tells_indexes_apart() -> None:
    digests = {
        Searcher(Index.build(FEATURES, IDS, "l2"), {}).digest,
        Searcher(Index.build(FEATURES, IDS, "cosine"), {}).digest,
        Searcher(Index.build(FEATURES[:9], IDS[:9], "l2"), {}).digest,
        Searcher(Index.build(FEATURES, IDS, "l2", made_with="another"), {}).digest,
    }
    assert len(digests) == 4
    assert Searcher(Index.build(FEATURES, IDS, "l2"), {}).digest in digests


def test_the_nearest_trained_image_is_that_of_the_largest_cosine() -> None:
    trained = NearestTrained(FEATURES, "cpu")
    row, similarity = trained.nearest(FEATURES[11:12] * 3)
    assert row == 11
    assert similarity == pytest.approx(1)
