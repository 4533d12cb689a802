from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imageclef.data.splits import group_codes, group_folds, held_out
from imageclef.errors import DataError

names = st.text("abcdef", min_size=1, max_size=3)


@st.composite
def collections(draw: st.DrawFn) -> tuple[list[str], dict[str, str]]:
    """Ids, and groups for some of them (and for an image that is not there)."""
    ids = draw(st.lists(names, unique=True, min_size=1, max_size=25))
    grouped = draw(st.lists(st.sampled_from(ids), unique=True))
    groups = {image_id: draw(st.sampled_from(["a", "b", "g3", "g4"])) for image_id in grouped}
    return ids, {**groups, "zz": "g3"}


def group_of(image_id: str, groups: dict[str, str]) -> tuple[bool, str]:
    return image_id in groups, groups.get(image_id, image_id)


@given(collections(), st.floats(0.01, 0.99), st.integers(0, 5))
def test_groups_never_straddle_and_both_sides_have_one(
    collection: tuple[list[str], dict[str, str]], fraction: float, seed: int
) -> None:
    ids, groups = collection
    sides = [group_of(image_id, groups) for image_id in ids]
    if len(set(sides)) < 2:
        with pytest.raises(DataError, match="expected at least 2 groups"):
            held_out(ids, groups, fraction, seed)
        return
    held = held_out(ids, groups, fraction, seed)
    assert held.dtype == np.bool_
    outside = {side for side, out in zip(sides, held, strict=True) if out}
    inside = {side for side, out in zip(sides, held, strict=True) if not out}
    assert outside
    assert inside
    assert not outside & inside


@given(collections(), st.floats(0.01, 0.99), st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_order_of_the_ids_makes_no_difference(
    collection: tuple[list[str], dict[str, str]], fraction: float, seed: int, random: Random
) -> None:
    ids, groups = collection
    assume(len({group_of(image_id, groups) for image_id in ids}) >= 2)
    shuffled = list(ids)
    random.shuffle(shuffled)
    for split in (
        lambda order: held_out(order, groups, fraction, seed),
        lambda order: group_folds(order, groups, 2, seed),
    ):
        expected = dict(zip(ids, split(ids).tolist(), strict=True))
        assert dict(zip(shuffled, split(shuffled).tolist(), strict=True)) == expected


@given(st.integers(2, 60), st.floats(0.02, 0.98), st.integers(0, 3))
def test_without_groups_the_fraction_is_met_to_one_image(n: int, fraction: float, seed: int) -> None:
    held = held_out([f"i{row}" for row in range(n)], None, fraction, seed)
    assert abs(int(held.sum()) - min(max(fraction * n, 1), n - 1)) <= 0.5 + 1e-9


def test_a_large_group_is_passed_over() -> None:
    ids = [f"i{row}" for row in range(100)]
    groups = dict.fromkeys(ids[:60], "large")
    for seed in range(20):
        held = held_out(ids, groups, 0.2, seed)
        assert int(held.sum()) == 20
        assert not held[:60].any()


def test_only_large_groups_leave_the_smallest() -> None:
    ids = [f"i{row}" for row in range(10)]
    groups = {image_id: "six" if row < 6 else "four" for row, image_id in enumerate(ids)}
    for seed in range(5):
        assert held_out(ids, groups, 0.1, seed).tolist() == [False] * 6 + [True] * 4
        assert held_out(ids, groups, 0.95, seed).tolist() == [True] * 6 + [False] * 4


def test_another_seed_is_another_draw_and_the_same_seed_the_same() -> None:
    ids = [f"i{row}" for row in range(200)]
    draws = {tuple(held_out(ids, None, 0.3, seed).tolist()) for seed in range(10)}
    assert len(draws) == 10
    assert (held_out(ids, None, 0.3, 4) == held_out(ids, None, 0.3, 4)).all()


def test_the_draw_is_the_same_everywhere() -> None:
    # Golden: a split that changes with a release would mix what was held out with what was learned.
    held = held_out([f"i{row}" for row in range(12)], {"i0": "p", "i1": "p"}, 0.25, 7)
    assert np.flatnonzero(held).tolist() == [5, 10, 11]


def test_a_group_is_not_an_image_of_the_same_name() -> None:
    ids = ["x", "y"]
    assert sorted(held_out(ids, {"x": "y"}, 0.5, 0).tolist()) == [False, True]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_a_fraction_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(DataError, match=r"fraction is .*; expected a number between 0 and 1"):
        held_out(["a", "b"], None, fraction, 0)


@given(collections(), st.integers(2, 5), st.integers(0, 3))
def test_folds_keep_groups_whole_and_are_even(
    collection: tuple[list[str], dict[str, str]], n_folds: int, seed: int
) -> None:
    ids, groups = collection
    sizes = Counter(group_of(image_id, groups) for image_id in ids)
    if len(sizes) < n_folds:
        with pytest.raises(DataError, match=f"{n_folds} folds of {len(sizes)} groups"):
            group_folds(ids, groups, n_folds, seed)
        return
    folds = group_folds(ids, groups, n_folds, seed)
    assert folds.dtype == np.int64
    assert set(folds.tolist()) == set(range(n_folds))
    pairs = {(group_of(i, groups), fold) for i, fold in zip(ids, folds.tolist(), strict=True)}
    assert len(pairs) == len(sizes)
    filled = np.bincount(folds, minlength=n_folds)
    assert filled.max() - filled.min() <= max(sizes.values())


def test_one_fold_is_refused() -> None:
    with pytest.raises(DataError, match="1 folds of 2 groups; expected 2 folds to one for each"):
        group_folds(["a", "b"], None, 1, 0)


def test_a_bulky_group_is_held_out_only_where_the_small_ones_do_not_fill_the_part() -> None:
    ids = [f"i{n}" for n in range(400)]
    bulky = dict.fromkeys(ids[:50], "hospital")
    for seed in range(20):
        held = held_out(ids, bulky, 0.15, seed)
        assert held.sum() == 60
        assert not held[:50].any()
    halves = {image_id: str(n % 4) for n, image_id in enumerate(ids)}
    assert held_out(ids, halves, 0.25, 0).sum() == 100


def test_folds_are_filled_by_images_the_largest_group_first() -> None:
    sizes = {"large": 6, "a": 2, "b": 2, "c": 2}
    groups = {f"{group}{number}": group for group, size in sizes.items() for number in range(size)}
    for seed in range(5):
        folds = group_folds(list(groups), groups, 2, seed)
        assert sorted(np.bincount(folds).tolist()) == [6, 6]


def test_a_group_that_comes_no_nearer_to_the_wanted_number_is_not_held_out() -> None:
    groups = {f"i{number}": f"g{number // 2}" for number in range(12)}
    assert held_out(list(groups), groups, 0.25, 0).sum() == 2


def test_an_image_without_a_group_is_its_own() -> None:
    assert group_codes(["a", "b", "c", "p", "d"], {"a": "p", "c": "p", "d": "b"}).tolist() == [0, 1, 0, 2, 3]
