from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from imageclef.data.annotations import Annotations, ImageKey
from imageclef.errors import ConfigError, DataError
from imageclef.features.encoding import Encoded
from imageclef.retrieval.filters import Filters
from imageclef.retrieval.index import Index, IndexedImage
from imageclef.retrieval.similar import Query, SimilaritySearch
from imageclef.retrieval.vectors import Metric
from tests.retrieval.made import names

METRICS: list[Literal["l2", "cosine"]] = ["l2", "cosine"]
NOTHING = Annotations({}, {}, None)


def search_of(features: NDArray[np.float32], metric: Metric = "l2") -> SimilaritySearch:
    return SimilaritySearch(Index.of(features, names(len(features)), metric), NOTHING)


def encoded(rows: NDArray[np.float32], digest: str = "") -> list[Encoded]:
    return [Encoded(row[None], row[None], {}, digest) for row in rows]


def found(search: SimilaritySearch, query: Query) -> list[str]:
    return [hit.name for hit in search.search(query).hits]


def apart(features: NDArray[np.float32], query: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """Distance, or 1 - similarity, of each row."""
    rows = features.astype(np.float64)
    if metric == "l2":
        return np.linalg.norm(rows - query, axis=1)
    return 1 - rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)


@pytest.mark.parametrize("metric", METRICS)
def test_mean_and_best_equal_plain_loops(metric: Metric) -> None:
    rng = np.random.default_rng(0)
    features, queries = (rng.normal(size=(n, 5)).astype(np.float32) for n in (200, 3))
    wide = queries.astype(np.float64)
    joined = wide / np.linalg.norm(wide, axis=1, keepdims=True) if metric == "cosine" else wide
    mean = apart(features, joined.mean(axis=0), metric)
    best = np.min([apart(features, query, metric) for query in wide], axis=0)
    for join, expected in (("mean", mean), ("best", best)):
        hits = search_of(features, metric).search(Query(encoded(queries), k=9, join=join)).hits  # type: ignore[arg-type]
        assert [hit.row for hit in hits] == np.argsort(expected, kind="stable")[:9].tolist()
        assert [hit.rank for hit in hits] == list(range(1, 10))
        np.testing.assert_allclose(
            [hit.distance for hit in hits], np.sort(expected)[:9], rtol=1e-5, atol=1e-6
        )
        assert all((hit.similarity is None) == (metric == "l2") for hit in hits)


def test_indexed_images_are_not_their_own_hits() -> None:
    features = np.array([[0.0], [0.1], [0.1], [5], [5.5], [9]], np.float32)
    search = search_of(features)
    assert found(search, Query(names=["i1"], k=3)) == ["i2", "i0", "i3"]
    assert found(search, Query(names=["i1"], k=3, leave_out_same=True)) == ["i0", "i3", "i4"]
    assert found(search, Query(names=["i0", "i3"], k=2, join="best")) == ["i1", "i2"]
    among = Filters(among=("i0", "i2", "i4", "i5"))
    assert found(search, Query(names=["i0"], k=9, filters=among)) == ["i2", "i4", "i5"]


@settings(max_examples=40, deadline=None)
@given(
    features=arrays(np.float32, st.tuples(st.integers(1, 120), st.just(2)), elements=st.integers(0, 2)),
    k=st.integers(1, 9),
)
def test_nothing_that_is_the_same_comes_back_and_all_else_can(features: NDArray[np.float32], k: int) -> None:
    query = Query(encoded(features[:1]), k=k, leave_out_same=True)
    rows = {hit.row for hit in search_of(features).search(query).hits}
    others = {row for row in range(len(features)) if (features[row] != features[0]).any()}
    assert rows <= others
    assert len(rows) == min(k, len(others))


def test_what_cannot_be_asked_is_an_error() -> None:
    search = search_of(np.eye(3, dtype=np.float32))
    with pytest.raises(ConfigError, match="join = 'sum'"):
        search.search(Query(names=["i0"], join="sum"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="nothing is asked"):
        search.search(Query())
    with pytest.raises(DataError, match="'nobody'"):
        search.search(Query(names=["nobody"]))
    with pytest.raises(DataError, match=r"shape \(1, 2\)"):
        search.search(Query(encoded(np.zeros((1, 2), np.float32))))


def test_where_the_concepts_of_a_query_come_from() -> None:
    """The same id is in two collections, whose concepts must not be mixed up."""
    images = [IndexedImage("train", "a"), IndexedImage("test", "a"), IndexedImage("train", "b")]
    concepts = {
        ImageKey("train", "a"): ("C1", "C2"),
        ImageKey("test", "a"): ("C7",),
        ImageKey("train", "b"): ("C2", "C1"),
    }
    detected: list[str] = []

    def detect(image: Encoded) -> Sequence[str] | None:
        return detected or None

    search = SimilaritySearch(
        Index(np.array([[0], [1], [2]], np.float32), images, "l2"),
        Annotations(concepts, {}, None),
        listed=lambda: {"digest of test/a": ImageKey("test", "a")},
        detect=detect,
    )
    by_id = search.search(Query(names=["train/a"], k=2))
    assert (by_id.concepts, by_id.concepts_from) == (("C1", "C2"), "the concept list of train")
    assert [(hit.name, hit.concepts, hit.shared) for hit in by_id.hits] == [
        ("test/a", ("C7",), ()),
        ("b", ("C2", "C1"), ("C1", "C2")),
    ]
    one = np.array([[0.1]], np.float32)
    listed = search.search(Query(encoded(one, "digest of test/a"), k=1))
    assert (listed.concepts, listed.concepts_from) == (("C7",), "the concept list of test")
    voted = search.search(Query(encoded(one), k=1))
    assert (voted.concepts, voted.concepts_from) == (("C1", "C2"), "the vote of its neighbors")
    detected.append("C9")
    by_classifier = search.search(Query(encoded(one), k=1))
    assert (by_classifier.concepts, by_classifier.concepts_from) == (("C9",), "the classifier")


def test_regions_are_grids_from_0_to_1() -> None:
    class Fixed:
        size = 2, "grey"

        def between(self, one: object, others: Sequence[object]) -> tuple[NDArray[np.float32], ...]:
            grid = np.array([[-1, 0], [2, 4]], np.float32)
            return np.stack([grid] * len(others)), np.stack([grid[::-1]] * len(others))

    search = replace(
        search_of(np.eye(3, dtype=np.float32)),
        regions=lambda: Fixed(),  # type: ignore[arg-type, return-value]
        pixels=lambda row, size, mode: None if row == 2 else np.zeros((size, size, 1), np.uint8),
    )
    hits = search.search(Query(names=["i0"], k=2, why=True)).hits
    assert hits[0].regions is not None
    assert hits[0].regions.query == [[0, 0], [0.5, 1]]
    assert hits[0].regions.image == [[0.5, 1], [0, 0]]
    assert hits[1].regions is None, "its file cannot be read"
    without = replace(search, regions=lambda: "no place").search(Query(names=["i0"], why=True))
    assert without.explained is not None
    assert "no place" in without.explained
