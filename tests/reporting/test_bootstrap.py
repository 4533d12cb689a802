from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageclef.reporting import bootstrap as module
from imageclef.reporting.bootstrap import Estimate, GroupBootstrap, estimates


def slow_ratios(
    groups: np.ndarray, above: np.ndarray, below: np.ndarray, draws: int, seed: int
) -> list[list[float]]:
    """Every draw written out image by image."""
    rng = np.random.default_rng(seed)
    names = sorted(set(groups.tolist()))
    result = []
    for _ in range(draws):
        images = [
            i for g in rng.integers(0, len(names), len(names)) for i in np.flatnonzero(groups == names[g])
        ]
        line = []
        for column in range(above.shape[1]):
            bottom = sum(below[i, column] for i in images)
            line.append(sum(above[i, column] for i in images) / bottom if bottom else float("nan"))
        result.append(line)
    return result


@given(st.lists(st.integers(0, 5), min_size=2, max_size=14), st.integers(0, 99), st.integers(1, 40))
def test_equals_a_slow_loop(drawn_groups: list[int], seed: int, cells: int) -> None:
    groups = np.unique(drawn_groups, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    above, below = rng.random((len(groups), 3)), rng.integers(0, 3, (len(groups), 3)).astype(float)
    expected = np.array(slow_ratios(groups, above, below, 12, seed))
    for column in range(3):
        if len(set(groups[below[:, column] > 0].tolist())) < 2:
            expected[:, column] = np.nan
    before, module._CELLS = module._CELLS, cells
    try:
        found = GroupBootstrap(groups, 12, seed).ratios(above, below)
    finally:
        module._CELLS = before
    assert np.allclose(found, expected, equal_nan=True, rtol=1e-12)


def test_the_same_draws_whenever_it_is_asked() -> None:
    bootstrap = GroupBootstrap(np.arange(40))
    x, y = np.random.default_rng(0).random((2, 40, 1))
    both = bootstrap.ratios(np.hstack([x, y]), np.ones((40, 2)))
    assert np.allclose(bootstrap.ratios(y, np.ones((40, 1)))[:, 0], both[:, 1], rtol=1e-12)


def test_intervals_of_a_mean_are_those_of_the_normal_law() -> None:
    values = np.random.default_rng(1).normal(size=(900, 1))
    found = estimates(
        values.mean(axis=0), GroupBootstrap(np.arange(900)).ratios(values, np.ones_like(values))
    )[0]
    half = 1.96 * values.std() / 30
    assert found.low == pytest.approx(values.mean() - half, abs=0.006)
    assert found.high == pytest.approx(values.mean() + half, abs=0.006)


def test_images_of_one_group_count_as_one() -> None:
    """300 images that are copies of 30 are as uncertain as 30."""
    values = np.random.default_rng(2).normal(size=(30, 1))
    few = GroupBootstrap(np.arange(30)).ratios(values, np.ones((30, 1)))
    copies = GroupBootstrap(np.repeat(np.arange(30), 10)).ratios(
        np.repeat(values, 10, axis=0), np.ones((300, 1))
    )
    assert np.allclose(few, copies)


def test_no_interval_in_a_single_group() -> None:
    draws = GroupBootstrap(np.array([0, 0, 1])).ratios(np.ones((3, 2)), np.array([[1, 1], [1, 1], [0, 1.0]]))
    assert estimates(np.array([0.5, np.nan]), draws) == [Estimate(0.5, None, None), Estimate(None, 1.0, 1.0)]
