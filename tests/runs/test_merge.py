from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageclef.errors import ConfigError, DataError
from imageclef.runs.editions import EDITIONS
from imageclef.runs.merge import How, merge_runs
from imageclef.runs.runfile import check_run, write_run

EDITION = EDITIONS["2018"]
HOWS = get_args(How)
concepts = st.lists(st.sampled_from([f"C{i}" for i in range(8)]), unique=True).map(tuple)
runs = st.lists(st.fixed_dictionaries({"a": concepts, "b": concepts}), min_size=1, max_size=5)


def test_windows_keep_their_order_and_empties_leave_no_trace(tmp_path: Path) -> None:
    windows = [
        {"a": ("",), "b": ("C9",), "c": ()},
        {"a": ("C2", "C1"), "b": (), "c": ()},
        {"a": ("C0",), "b": ("C9",), "c": ()},
    ]
    merged = merge_runs(windows, "union", EDITION)
    assert merged == {"a": ("C2", "C1", "C0"), "b": ("C9",), "c": ()}
    write_run(tmp_path / "run.csv", merged, EDITION)
    assert (tmp_path / "run.csv").read_text() == "a\tC2;C1;C0\nb\tC9\nc\t\n"
    check_run(tmp_path / "run.csv", ["a", "b", "c"], EDITION)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("union", ("C1", "C2", "C3", "C4", "C5")),
        ("intersection", ("C2",)),
        ("majority", ("C1", "C2")),
        ("vote", ("C1", "C2", "C3")),
    ],
)
def test_three_runs(how: How, expected: tuple[str, ...]) -> None:
    lists = [("C1", "C2"), ("C3", "C1", "C2"), ("C4", "C2", "C5")]
    assert merge_runs([{"a": concepts} for concepts in lists], how, EDITION) == {"a": expected}


def test_half_of_the_votes_is_no_majority() -> None:
    assert merge_runs([{"a": ("C1",)}, {"a": ("C1", "C2")}], "majority", EDITION) == {"a": ("C1",)}


def test_half_of_the_weights_is_no_majority_in_spite_of_rounding() -> None:
    assert sum([0.2, 0.3, 0.1]) / 2 < 0.2 + 0.1
    rivals = [{"a": ("C1",)}, {"a": ("C2",)}, {"a": ("C1",)}]
    assert merge_runs(rivals, "majority", EDITION, [0.2, 0.3, 0.1]) == {"a": ()}
    assert merge_runs(rivals, "majority", EDITION, [0.2, 0.3, 0.1001]) == {"a": ("C1",)}


def test_weights_decide() -> None:
    two = [{"a": ("C1",)}, {"a": ("C2",)}, {"a": ("C3",)}]
    assert merge_runs(two, "majority", EDITION, [1, 1, 3]) == {"a": ("C3",)}
    assert merge_runs(two, "vote", EDITION, [1, 2, 1]) == {"a": ("C2",)}


@pytest.mark.parametrize("how", HOWS)
@given(run=st.fixed_dictionaries({"b": concepts, "a": concepts}), times=st.integers(1, 4))
def test_a_run_merged_with_itself_is_itself(how: How, run: dict[str, tuple[str, ...]], times: int) -> None:
    merged = merge_runs([run] * times, how, EDITION)
    assert merged == run
    assert list(merged) == list(run)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("empty", [(), ("",), ("", "")])
def test_nothing_merged_with_nothing_is_nothing(how: How, empty: tuple[str, ...], tmp_path: Path) -> None:
    merged = merge_runs([{"a": empty, "b": ()}] * 3, how, EDITION, [1, 2, 3])
    assert merged == {"a": (), "b": ()}
    write_run(tmp_path / "run.csv", merged, EDITION)
    check_run(tmp_path / "run.csv", ["a", "b"], EDITION)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("union", ("C1", "C2")),
        ("intersection", ()),
        ("majority", ("C1",)),
        ("vote", ("C1",)),
    ],
)
def test_an_empty_list_votes_for_nothing_but_counts(how: How, expected: tuple[str, ...]) -> None:
    """Two of three name C1; the mean length of 2, 1 and 0 is 1."""
    lists: list[tuple[str, ...]] = [("C1", "C2"), (), ("C1",)]
    assert merge_runs([{"a": concepts} for concepts in lists], how, EDITION) == {"a": expected}


@pytest.mark.parametrize("how", HOWS)
@given(some=runs, twice=st.integers(1, 3))
def test_a_concept_named_twice_has_one_vote(
    how: How, some: list[dict[str, tuple[str, ...]]], twice: int
) -> None:
    repeated = [{image_id: named * (1 + twice) for image_id, named in run.items()} for run in some]
    assert merge_runs(repeated, how, EDITION) == merge_runs(some, how, EDITION)


@pytest.mark.parametrize("how", HOWS)
@given(some=runs, where=st.integers(0, 5), how_often=st.integers(1, 3))
def test_empty_runs_change_only_what_is_counted(
    how: How, some: list[dict[str, tuple[str, ...]]], where: int, how_often: int
) -> None:
    """Windows without an answer leave a union alone, wherever they stand; no run gains a concept by them."""
    nothing: dict[str, tuple[str, ...]] = {"a": (), "b": ()}
    merged = merge_runs(some, how, EDITION)
    joined = merge_runs([*some[:where], *[nothing] * how_often, *some[where:]], how, EDITION)
    for image_id in "ab":
        assert set(joined[image_id]) <= set(merged[image_id])
    if how == "union":
        assert joined == merged
    if how == "intersection":
        assert joined == nothing


def slow_merge(lists: Sequence[Sequence[str]], how: How) -> list[str]:
    named = [concept for concepts in lists for concept in concepts]
    seen = sorted(set(named), key=named.index)
    if how == "vote":
        r = (2 * len(named) + len(lists)) // (2 * len(lists))
        best = sorted(seen, key=lambda concept: (-named.count(concept), named.index(concept)))[:r]
        return sorted(best, key=named.index)
    least = {"union": 1, "intersection": len(lists), "majority": len(lists) // 2 + 1}[how]
    return [concept for concept in seen if named.count(concept) >= least]


@pytest.mark.parametrize("how", HOWS)
@given(some=runs)
def test_equals_a_slow_loop(how: How, some: list[dict[str, tuple[str, ...]]]) -> None:
    merged = merge_runs(some, how, EDITION)
    for image_id in "ab":
        assert list(merged[image_id]) == slow_merge([run[image_id] for run in some], how)


def test_over_the_limit_the_fewest_votes_go_then_the_last_named() -> None:
    first = tuple(f"C{i}" for i in range(80))
    second = tuple(f"C{i}" for i in range(199, 69, -1))
    merged = merge_runs([{"a": first}, {"a": second}], "union", EDITIONS["2022"])["a"]
    assert len(merged) == 100
    assert merged == first + second[:20]
    twice = merge_runs([{"a": first}, {"a": second}, {"a": ("C199", "C70")}], "union", EDITIONS["2022"])["a"]
    assert twice == first + second[:20]
    late = merge_runs(
        [{"a": first + second[10:40]}, {"a": ("C70", "C71", "C300")}, {"a": ("C300",)}],
        "union",
        EDITIONS["2022"],
    )["a"]
    assert late == first + second[10:29] + ("C300",)


def test_refuses_other_images() -> None:
    with pytest.raises(DataError, match="image 'x' is in only one of runs 1 and 3"):
        merge_runs([{"a": ()}, {"a": ()}, {"a": (), "x": ()}], "union", EDITION)
    with pytest.raises(DataError, match="image 'x' is in only one of runs 1 and 2"):
        merge_runs([{"a": (), "x": ()}, {"a": ()}], "union", EDITION)


@pytest.mark.parametrize(
    ("how", "number", "weights", "complaint"),
    [
        ("union", 0, None, "no runs to merge"),
        ("xor", 1, None, "no way 'xor' to merge runs; expected union, intersection, majority or vote"),
        ("vote", 2, [1.0], r"weights \[1\.0\] for 2 runs; expected a positive one for each"),
        ("vote", 2, [1.0, 0.0], r"weights \[1\.0, 0\.0\] for 2 runs"),
        ("vote", 2, [1.0, float("inf")], r"weights \[1\.0, inf\] for 2 runs"),
        ("vote", 2, [1.0, float("nan")], r"weights \[1\.0, nan\] for 2 runs"),
    ],
)
def test_refuses_what_makes_no_sense(
    how: How, number: int, weights: list[float] | None, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        merge_runs([{"a": ("C1",)}] * number, how, EDITION, weights)
