from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from imageclef.errors import ConfigError, DataError
from imageclef.retrieval.index import Index
from imageclef.retrieval.questions import Question, ask, of_images

METRICS: list[Literal["l2", "cosine"]] = ["l2", "cosine"]


def names(n: int) -> list[str]:
    return [f"i{row}" for row in range(n)]


def apart(features: NDArray[np.float32], query: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """Distance, or 1 - similarity, of each row."""
    rows = features.astype(np.float64)
    if metric == "l2":
        return np.linalg.norm(rows - query, axis=1)
    return 1 - rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)


@pytest.mark.parametrize("metric", METRICS)
def test_mean_and_best_equal_plain_loops(metric: Literal["l2", "cosine"]) -> None:
    rng = np.random.default_rng(0)
    features, queries = (
        rng.normal(size=(200, 5)).astype(np.float32),
        rng.normal(size=(3, 5)).astype(np.float32),
    )
    index = Index.build(features, names(200), metric)
    wide = queries.astype(np.float64)
    joined = wide / np.linalg.norm(wide, axis=1, keepdims=True) if metric == "cosine" else wide
    mean = apart(features, joined.mean(axis=0), metric)
    best = np.min([apart(features, query, metric) for query in wide], axis=0)
    for join, expected in (("mean", mean), ("best", best)):
        answers = ask(index, Question(queries, join), 9)
        assert [answer.row for answer in answers] == np.argsort(expected, kind="stable")[:9].tolist()
        assert [answer.image_id for answer in answers] == [f"i{answer.row}" for answer in answers]
        assert [answer.rank for answer in answers] == list(range(1, 10))
        found = [answer.distance if metric == "l2" else 1 - answer.distance for answer in answers]
        np.testing.assert_allclose(found, np.sort(expected)[:9], rtol=1e-5, atol=1e-6)


def test_images_of_the_index_are_not_their_own_answer() -> None:
    features = np.array([[0.0], [0.1], [0.1], [5], [5.5], [9]], np.float32)
    index = Index.build(features, names(6), "l2")
    assert [answer.image_id for answer in ask(index, of_images(index, ["i1"]), 3)] == ["i2", "i0", "i3"]
    without = ask(index, of_images(index, ["i1"], duplicates=False), 3)
    assert [answer.image_id for answer in without] == ["i0", "i3", "i4"], "i2 is the same image"
    both = ask(index, of_images(index, ["i0", "i3"], join="best"), 2)
    assert [answer.image_id for answer in both] == ["i1", "i2"]
    near = Question(features[:1], duplicates=False, same=0.2)
    assert [answer.image_id for answer in ask(index, near, 9)] == ["i3", "i4", "i5"]
    among = np.array([True, False, True, False, True, True])
    assert [answer.image_id for answer in ask(index, of_images(index, ["i0"]), 9, among)] == [
        "i2",
        "i4",
        "i5",
    ]
    assert among.tolist() == [True, False, True, False, True, True], "the mask is the caller's"


@settings(max_examples=40, deadline=None)
@given(
    features=arrays(np.float32, st.tuples(st.integers(1, 120), st.just(2)), elements=st.integers(0, 2)),
    metric=st.sampled_from(METRICS),
    k=st.integers(1, 9),
)
def test_no_duplicate_comes_back_and_all_others_can(
    features: NDArray[np.float32], metric: Literal["l2", "cosine"], k: int
) -> None:
    index = Index.build(features, names(len(features)), metric)
    query = features[:1]
    rows = {answer.row for answer in ask(index, Question(query, duplicates=False), k)}
    if metric == "l2":
        others = {row for row in range(len(features)) if (features[row] != query[0]).any()}
    else:
        unit = index.vectors(np.arange(len(features)))
        others = {row for row in range(len(features)) if (unit[row] != unit[0]).any() or not unit[0].any()}
    assert rows <= others
    assert len(rows) == min(k, len(others))


def test_questions_that_cannot_be_asked_are_refused() -> None:
    index = Index.build(np.eye(3, dtype=np.float32), names(3), "l2")
    with pytest.raises(ConfigError, match="join = 'sum'; expected one of mean, best"):
        ask(index, Question(np.eye(3, dtype=np.float32), "sum"), 1)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"query vectors of shape \(0, 3\); expected one row for each image"):
        ask(index, Question(np.zeros((0, 3), np.float32)), 1)
    with pytest.raises(DataError, match="image 'nobody' is not in the index"):
        of_images(index, ["nobody"])
    with pytest.raises(DataError, match=r"a mask of shape \(2,\) over rows; expected \(3,\)"):
        ask(index, of_images(index, ["i0"]), 1, np.ones(2, dtype=np.bool_))
    with pytest.raises(DataError, match=r"queries of shape \(1, 2\); expected \(n_queries, 3\)"):
        ask(index, Question(np.zeros((1, 2), np.float32)), 1)
