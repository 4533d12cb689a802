from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from imageclef.errors import ConfigError, DataError
from imageclef.retrieval import duplicates
from imageclef.retrieval.duplicates import near_duplicates

METRICS: list[Literal["l2", "cosine"]] = ["l2", "cosine"]
Matrix = NDArray[np.float32]


def apart(one: Matrix, other: Matrix, metric: str) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    if metric == "l2":
        return float(np.sqrt(((a - b) ** 2).sum()))
    lengths = np.sqrt((a**2).sum() * (b**2).sum())
    return float(1 - (a * b).sum() / lengths) if lengths else 1.0


def by_loops(left: Matrix, right: Matrix | None, metric: str, within: float) -> set[tuple[int, int]]:
    others = left if right is None else right
    return {
        (i, j)
        for i in range(len(left))
        for j in range(i + 1 if right is None else 0, len(others))
        if apart(left[i], others[j], metric) <= within + 1e-9
    }


def pairs_of(found: duplicates.Pairs) -> list[tuple[int, int]]:
    return list(zip(found.left.tolist(), found.right.tolist(), strict=True))


small = arrays(np.float32, st.tuples(st.integers(1, 30), st.just(3)), elements=st.integers(-2, 2))


@settings(max_examples=60, deadline=None)
@given(
    left=small,
    right=st.none() | small,
    metric=st.sampled_from(METRICS),
    within=st.sampled_from([0, 0.03, 1, 1.5]),
)
def test_pairs_equal_plain_loops(
    left: Matrix, right: Matrix | None, metric: Literal["l2", "cosine"], within: float
) -> None:
    within += 1e-4 if metric == "cosine" else 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_LEFT_ROWS", 7)
        patch.setattr(duplicates, "_RIGHT_ROWS", 4)
        found = near_duplicates(left, right, metric, within)
    assert set(pairs_of(found)) == by_loops(left, right, metric, within)
    assert len(found) == len(set(pairs_of(found)))
    near = found.distances if metric == "l2" else -found.distances
    order = list(zip(near.tolist(), pairs_of(found), strict=True))
    if metric == "l2":
        assert order == sorted(order)
    assert sorted(near.tolist()) == near.tolist()


def test_near_duplicates_far_from_zero_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    rows = (1000 + rng.normal(size=(300, 16))).astype(np.float32)
    rows[200] = rows[10]
    rows[250] = rows[20]
    rows[250, 3] += 0.001
    found = near_duplicates(rows, None, "l2", 0.01)
    assert pairs_of(found) == [(10, 200), (20, 250)]
    assert found.distances[0] == 0
    assert found.distances[1] == pytest.approx(0.001, rel=0.05)
    assert pairs_of(near_duplicates(rows, None, "l2", 0)) == [(10, 200)]


def test_k_keeps_the_nearest_of_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_LEFT_ROWS", 5)
    monkeypatch.setattr(duplicates, "_RIGHT_ROWS", 3)
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(12, 2)).astype(np.float32), rng.normal(size=(20, 2)).astype(np.float32)
    every = near_duplicates(left, right, "l2", 2.0)
    kept = near_duplicates(left, right, "l2", 2.0, k=2)
    expected = []
    for row in range(12):
        expected += sorted(
            (d, row, j) for d, (i, j) in zip(every.distances, pairs_of(every), strict=True) if i == row
        )[:2]
    assert pairs_of(kept) == [(i, j) for _, i, j in sorted(expected)]
    assert len(kept) < len(every)


def test_numbers_beyond_the_range_of_products_are_compared_too() -> None:
    rows = np.array([[1e30, 0], [1e30, 0], [0, 1e30], [-1e30, 0]], np.float32)
    assert pairs_of(near_duplicates(rows, None, "l2", 1.0)) == [(0, 1)]


def test_too_many_pairs_are_refused_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_MOST_PAIRS", 50)
    zeros = np.zeros((40, 2), np.float32)
    with pytest.raises(
        DataError, match="over 50 pairs so near; expected fewer: lower the distance, or ask for k"
    ):
        near_duplicates(zeros, None, "l2", 0.1)
    assert pairs_of(near_duplicates(zeros, None, "l2", 0.1, k=1)) == [(row, row + 1) for row in range(39)]


def test_progress_and_refusals() -> None:
    rows, done = np.zeros((2500, 2), np.float32) + np.arange(2500, dtype=np.float32)[:, None], []
    near_duplicates(rows, None, "l2", 0, progress=done.append)
    assert done == [1024, 1024, 452]
    with pytest.raises(ConfigError, match="within = -1, k = None; expected within of at least 0"):
        near_duplicates(rows, None, "l2", -1)
    with pytest.raises(ConfigError, match="k = 0; expected within of at least 0 and k of at least 1"):
        near_duplicates(rows, None, "l2", 1, k=0)
    with pytest.raises(DataError, match="features of width 2 and 3; expected both of the same learner"):
        near_duplicates(rows, np.zeros((1, 3), np.float32), "l2", 1)
