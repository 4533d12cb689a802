from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.data.splits import group_folds
from imageclef.detectors.thresholds import image_f1, mean_image_f1
from imageclef.errors import DataError
from imageclef.runs.editions import EDITIONS
from imageclef.runs.ensemble import Ensemble, _first_best, cross_validate, join, search
from imageclef.runs.evaluate import official_f1
from imageclef.runs.members import Member, Pool, centred, own_cut
from tests.runs.test_members import problems, slow_answers, slow_best, slow_f1

Problem = tuple[list[NDArray[np.float32]], NDArray[np.bool_], NDArray[np.int64]]
MOST = 100


def member(name: str, scores: NDArray[np.float32], cut: float = 0.5) -> Member:
    return Member(name, csr_array(scores), csr_array(scores >= max(cut, 1e-9)))


def named(scores: Sequence[NDArray[np.float32]]) -> list[Member]:
    return [member(name, matrix) for name, matrix in zip("abcdef", scores, strict=False)]


def mean_of(moved: Sequence[NDArray[np.float32]], counts: Sequence[int]) -> NDArray[np.float32]:
    total = sum(count * matrix.astype(np.float64) for matrix, count in zip(moved, counts, strict=True))
    return np.asarray(total / sum(counts)).astype(np.float32)


def slow_search(
    moved: Sequence[NDArray[np.float32]],
    truth: NDArray[np.bool_],
    n_truth: NDArray[np.int64],
    most_steps: int,
    least_gain: float,
) -> list[tuple[str, float]]:
    """Every addition tried in turn, every cut of every mean tried in turn."""
    counts, steps = [0] * len(moved), list[tuple[str, float]]()
    while len(steps) < most_steps:
        tried = []
        for added in range(len(moved)):
            trial = [count + (row == added) for row, count in enumerate(counts)]
            tried.append(slow_best(mean_of(moved, trial), truth, n_truth, True))
        best = next(row for row, score in enumerate(tried) if score >= max(tried) - 1e-12)
        if steps and tried[best] <= steps[-1][1] + least_gain:
            break
        counts[best] += 1
        steps.append(("abc"[best], tried[best]))
    return steps


@settings(max_examples=60, deadline=None)
@given(problems(), st.integers(1, 3), st.sampled_from([0.0, 0.01, 0.1]))
def test_the_search_is_the_slow_one(problem: Problem, most_steps: int, least_gain: float) -> None:
    scores, truth, n_truth = problem
    members, labels = named(scores), csr_array(truth)
    found = search(members, labels, n_truth, most_steps, least_gain)
    cuts = [own_cut(one, labels, n_truth) for one in members]
    moved = [centred(one.scores, cut).toarray() for one, cut in zip(members, cuts, strict=True)]
    expected = slow_search(moved, truth, n_truth, most_steps, least_gain + 1e-12)
    assert [step.added for step in found.steps] == [name for name, _ in expected]
    assert [step.after for step in found.steps] == pytest.approx([score for _, score in expected])
    assert [step.before for step in found.steps] == [0.0, *(step.after for step in found.steps[:-1])]
    names = [step.added for step in found.steps]
    assert found.weights == {name: names.count(name) for name in "abc" if name in names}
    assert found.score == found.steps[-1].after
    for row, one in enumerate(members):
        assert found.alone[one.name] == pytest.approx(slow_best(moved[row], truth, n_truth, True))
        if one.name in found.weights:
            rest = [names.count(name) * (name != one.name) for name in "abc"[: len(members)]]
            left = slow_best(mean_of(moved, rest), truth, n_truth, True) if any(rest) else 0.0
            assert found.without[one.name] == pytest.approx(left)


@settings(deadline=None)
@given(problems())
def test_joining_gives_the_answers_that_were_scored(problem: Problem) -> None:
    scores, truth, n_truth = problem
    members, labels = named(scores), csr_array(truth)
    found = search(members, labels, n_truth, least_gain=0.0)
    answers = join(members, found, MOST)
    assert mean_image_f1(answers, labels, n_truth) == pytest.approx(found.score, abs=1e-12)
    backwards = join(members[::-1], found, MOST)
    assert np.array_equal(answers.toarray(), backwards.toarray())


@settings(deadline=None)
@given(problems())
def test_one_member_joined_is_itself(problem: Problem) -> None:
    """Its answers where it votes; where it has scores, those at its own best cut, or its highest."""
    scores, truth, n_truth = problem
    votes = member("a", (scores[0] > 0.5).astype(np.float32))
    found = search([votes], csr_array(truth), n_truth)
    assert found.weights == {"a": 1}
    assert np.array_equal(join([votes], found, MOST).toarray(), votes.answers.toarray())
    only = member("a", scores[0])
    found = search([only], csr_array(truth), n_truth)
    assert slow_f1(slow_answers(scores[0], 2.0, True), truth, n_truth) <= found.score + 1e-12
    assert found.score == pytest.approx(
        slow_best(centred_at_its_cut(only, truth, n_truth), truth, n_truth, True)
    )


def centred_at_its_cut(
    only: Member, truth: NDArray[np.bool_], n_truth: NDArray[np.int64]
) -> NDArray[np.float32]:
    dense: NDArray[np.float32] = centred(only.scores, own_cut(only, csr_array(truth), n_truth)).toarray()
    return dense


def noisy(
    truth: NDArray[np.bool_], rng: np.random.Generator, skill: float | NDArray[np.float64]
) -> NDArray[np.float32]:
    """Probabilities without ties; the higher the skill, the more they know of the truth."""
    log_odds = skill * (truth - 0.5) + rng.normal(size=truth.shape)
    return np.asarray(1 / (1 + np.exp(-log_odds))).astype(np.float32)


def drawn_truth(rng: np.random.Generator, n_images: int, n_concepts: int) -> NDArray[np.bool_]:
    truth = rng.random((n_images, n_concepts)) < 0.2
    truth[np.arange(n_images), rng.integers(n_concepts, size=n_images)] = True
    return truth


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_runs_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = drawn_truth(rng, 60, 12)
    members = named([noisy(truth, rng, skill) for skill in (2.0, 2.2, 1.8, 1.0)])
    found = search(members, csr_array(truth), truth.sum(axis=1))
    again = search([members[row] for row in (2, 0, 3, 1)], csr_array(truth), truth.sum(axis=1))
    assert len(found.weights) > 1
    assert (found.weights, found.cut, found.steps) == (again.weights, again.cut, again.steps)
    assert np.array_equal(join(members, found, MOST).toarray(), join(members, again, MOST).toarray())


def test_what_is_left_without_a_run_is_left_without_all_of_its_weight() -> None:
    rng = np.random.default_rng(0)
    truth = drawn_truth(rng, 60, 12)
    members = named([noisy(truth, rng, skill) for skill in (2.0, 2.4, 2.2, 1.6)])
    labels, n_truth = csr_array(truth), truth.sum(axis=1)
    found = search(members, labels, n_truth, least_gain=-1.0)
    assert len(found.steps) == sum(found.weights.values()) == 20
    assert max(found.weights.values()) > 1
    cuts = [own_cut(one, labels, n_truth) for one in members]
    pool = Pool([centred(one.scores, cut) for one, cut in zip(members, cuts, strict=True)], labels, n_truth)
    for name, left in found.without.items():
        rest = [found.weights.get(one.name, 0) * (one.name != name) for one in members]
        assert left == pool.best_mean(np.array(rest))[1]


@pytest.mark.parametrize("votes", [False, True])
def test_members_that_are_right_on_different_concepts_are_both_found(votes: bool) -> None:
    rng = np.random.default_rng(1)
    truth = drawn_truth(rng, 300, 20)
    truth[:, 0], truth[:, 19] = True, True
    first, second = (
        noisy(truth, rng, np.where(own, 6.0, 0.3)) for own in (np.arange(20) < 10, np.arange(20) >= 10)
    )
    if votes:  # Each names only what it knows: the union is right.
        first = (truth & (np.arange(20) < 10)).astype(np.float32)
        second = (truth & (np.arange(20) >= 10)).astype(np.float32)
    useless = rng.permutation(noisy(truth, rng, 1.0).ravel()).reshape(truth.shape)
    members = named([first, second, useless])
    train, unseen = np.arange(200), np.arange(200, 300)
    labels, n_truth = csr_array(truth), truth.sum(axis=1)
    found = search([one.take(train) for one in members], labels[train], n_truth[train])
    assert set(found.weights) == {"a", "b"}
    assert found.score > max(found.alone.values()) + 0.1
    assert all(found.score - left > 0.1 for left in found.without.values())
    answers = join([one.take(unseen) for one in members], found, MOST)
    joined = mean_image_f1(answers, labels[unseen], n_truth[unseen])
    for one in members:
        alone = search([one.take(train)], labels[train], n_truth[train])
        single = mean_image_f1(join([one.take(unseen)], alone, MOST), labels[unseen], n_truth[unseen])
        assert joined > single + 0.1
    ids = [str(image) for image in range(300)]
    trial = cross_validate(members, labels, n_truth, ids, {}, MOST)
    assert trial.taken
    assert trial.ensemble - trial.single > 0.1 > 10 * trial.spread
    assert trial.ensemble == pytest.approx(joined, abs=0.03)


def test_scales_are_brought_together() -> None:
    """A member whose numbers are small is heard as well as one whose numbers are large."""
    rng = np.random.default_rng(2)
    truth = drawn_truth(rng, 300, 20)
    own = np.arange(20) < 10
    first, second = noisy(truth, rng, np.where(own, 5.0, 1.0)), noisy(truth, rng, np.where(own, 1.0, 5.0))
    odds = second / (1 - second) / 50
    small = (odds / (1 + odds)).astype(np.float32)
    labels, n_truth = csr_array(truth), truth.sum(axis=1)
    alike = search(named([first, second]), labels, n_truth)
    unlike = search(named([first, small]), labels, n_truth)
    assert unlike.weights == alike.weights
    assert unlike.score == pytest.approx(alike.score, abs=0.005)
    pool = Pool([csr_array(first), csr_array(small)], labels, n_truth)
    _, plain = pool.best_mean(np.array([1, 1]))
    assert unlike.score > plain + 0.02


@pytest.mark.parametrize("seed", [0, 2])
def test_the_guard_refuses_what_is_luck(seed: int) -> None:
    """Of forty runs that know nothing, some help a fair one on forty images, and on no others."""
    rng = np.random.default_rng(seed)
    truth = drawn_truth(rng, 40, 8)
    fair = noisy(truth, rng, 1.5)
    labels, n_truth = csr_array(truth), truth.sum(axis=1)
    cut = own_cut(member("fair", fair), labels, n_truth)
    members = [member("fair", fair, cut), *(member(f"{n}", noisy(truth, rng, 0.0)) for n in range(40))]
    found = search(members, labels, n_truth)
    assert found.score > found.alone["fair"] + 0.02
    trial = cross_validate(members, labels, n_truth, [str(image) for image in range(40)], {}, MOST)
    assert trial.ensemble < trial.single
    assert not trial.taken
    assert trial.best == "fair"


def test_a_run_that_is_no_better_joined_is_not_taken() -> None:
    rng = np.random.default_rng(4)
    truth = drawn_truth(rng, 30, 6)
    votes = truth.astype(np.float32)
    members = [member("a", votes), member("b", votes)]
    trial = cross_validate(
        members, csr_array(truth), truth.sum(axis=1), [str(n) for n in range(30)], {}, MOST
    )
    assert (trial.ensemble, trial.single, trial.spread) == (1.0, 1.0, 0.0)
    assert not trial.taken


def test_cross_validation_is_a_plain_loop_over_groups() -> None:
    rng = np.random.default_rng(5)
    truth = drawn_truth(rng, 24, 6)
    members = named([noisy(truth, rng, skill) for skill in (1.5, 1.7, 1.2)])
    labels, n_truth = csr_array(truth), truth.sum(axis=1)
    ids = [f"i{image}" for image in range(24)]
    groups = {image_id: f"g{image % 6}" for image, image_id in enumerate(ids)}
    trial = cross_validate(members, labels, n_truth, ids, groups, MOST, n_folds=99, seed=1)
    fold_of = group_folds(ids, groups, 6, seed=1)
    folds = []
    for fold in range(6):
        others, own = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        assert len({groups[ids[image]] for image in own}) == 1
        found = search([one.take(others) for one in members], labels[others], n_truth[others])
        answers = join([one.take(own) for one in members], found, MOST)
        alone = [image_f1(one.answers, labels, n_truth) for one in members]
        best = max(alone, key=lambda f1: f1[others].mean())
        folds.append((mean_image_f1(answers, labels[own], n_truth[own]), best[own].mean()))
    assert np.array(trial.folds) == pytest.approx(np.array(folds))
    assert (trial.ensemble, trial.single) == pytest.approx(np.mean(folds, axis=0))
    gains = [ensemble - single for ensemble, single in folds]
    assert trial.spread == pytest.approx(np.std(gains, ddof=1) / np.sqrt(6))


def test_the_single_run_is_chosen_on_the_other_folds() -> None:
    """Two images, two runs, each right on one of them: on the others' evidence the wrong one is taken."""
    truth = np.array([[1, 0], [0, 1]], bool)
    members = named([np.array([[1, 0], [1, 0]], np.float32), np.array([[0, 1], [0, 1]], np.float32)])
    trial = cross_validate(members, csr_array(truth), np.ones(2, np.int64), ["x", "y"], {}, MOST)
    assert trial.single == 0.0


def test_one_group_cannot_be_split() -> None:
    truth = np.eye(3, dtype=bool)
    members = named([truth.astype(np.float32)])
    groups = dict.fromkeys("xyz", "one patient")
    with pytest.raises(DataError, match="2 folds of 1 groups"):
        cross_validate(members, csr_array(truth), np.ones(3, np.int64), list("xyz"), groups, MOST)


def test_the_least_certain_are_dropped_beyond_the_limit() -> None:
    scores = np.array([[0.9, 0.8, 0.95, 0.85]], np.float32)
    ensemble = Ensemble({"a": 1}, {"a": 0.5}, 0.5, 1.0, {"a": 1.0}, (), {"a": 0.0})
    assert join(named([scores]), ensemble, 2).toarray().tolist() == [[True, False, True, False]]


def test_empty_lists_join_cleanly() -> None:
    """An image to which no run gives a concept stays empty; what one run gives is decided by the cut."""
    votes = [[[1, 1, 0], [0, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0], [0, 0, 1]]]
    members = named([np.array(matrix, np.float32) for matrix in votes])
    truth = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], bool)
    found = search(members, csr_array(truth), np.ones(3, np.int64))
    assert join(members, found, MOST).toarray().tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert found.score == pytest.approx(2 / 3)
    nothing = named([np.zeros((2, 3), np.float32)] * 2)
    found = search(nothing, csr_array(truth[:2]), np.ones(2, np.int64))
    assert found.score == 0.0
    assert join(nothing, found, MOST).nnz == 0


def test_the_scores_are_those_of_the_evaluator() -> None:
    rng = np.random.default_rng(6)
    truth = drawn_truth(rng, 20, 5)
    members = named([noisy(truth, rng, 2.0), noisy(truth, rng, 2.0)])
    found = search(members, csr_array(truth), truth.sum(axis=1))
    lists = [
        {str(row): tuple(f"C{column}" for column in np.flatnonzero(line)) for row, line in enumerate(matrix)}
        for matrix in (join(members, found, MOST).toarray(), truth)
    ]
    assert official_f1(lists[0], lists[1], EDITIONS["2018"]) == pytest.approx(found.score)


def test_of_scores_that_differ_by_rounding_the_first_is_the_best() -> None:
    assert _first_best([0.1, 0.3, 0.1 + 0.2]) == 1
    assert _first_best([0.1, 0.3, 0.4]) == 2
