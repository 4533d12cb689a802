from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from scipy.sparse import csr_array

from imageclef.detectors.calibration import fit_calibration
from imageclef.detectors.rules import Evidence, Nearest, decide, tune
from imageclef.detectors.selection import (
    CANDIDATES,
    PLAIN,
    Trial,
    Validation,
    best_of,
    cross_validated,
    tuned,
)
from imageclef.detectors.thresholds import image_f1


def drawn(n: int = 300, width: int = 12, seed: int = 0, distort: float = 0.0) -> Validation:
    """Concepts of unlike frequency; `distort` is taken from the log-odds of every second one."""
    random = np.random.default_rng(seed)
    true_odds = random.normal(np.linspace(0, -2.5, width), 2.0, (n, width))
    labels = random.random((n, width)) < special.expit(true_odds)
    z = (true_odds - np.where(np.arange(width) % 2, distort, 0.0)).astype(np.float32)
    groups = np.arange(n) // 3
    nearest = Nearest(csr_array(np.roll(labels, 1, axis=0)), random.random(n).astype(np.float32))
    return Validation(
        z, csr_array(labels), labels.sum(1) + (np.arange(n) % 4 == 0), nearest, groups, groups % 5
    )


def test_every_image_is_decided_by_what_was_tuned_on_the_others() -> None:
    held = drawn()
    (plain, trial) = cross_validated(["expected-f1"], held)
    assert plain.name == PLAIN
    for fold in range(5):
        rest, tested = held.take(np.flatnonzero(held.folds != fold)), np.flatnonzero(held.folds == fold)
        calibration = fit_calibration(rest.log_odds, rest.labels)
        evidence = Evidence(calibration.probabilities(rest.log_odds))
        rule = tune("expected-f1", evidence, rest.labels, rest.n_truth)
        scores = calibration.probabilities(held.log_odds[tested])
        expected = decide(rule, Evidence(scores))
        np.testing.assert_array_equal(trial.answers[tested].toarray(), expected.toarray())
        np.testing.assert_allclose(trial.scores[tested], scores, rtol=1e-5)


def test_the_truth_of_an_image_does_not_change_its_own_answer() -> None:
    held = drawn(90)
    upset = held.labels.toarray()
    upset[held.folds == 2] = ~upset[held.folds == 2]
    other = Validation(held.log_odds, csr_array(upset), held.n_truth, held.nearest, held.groups, held.folds)
    for one, two in zip(cross_validated(CANDIDATES, held), cross_validated(CANDIDATES, other), strict=True):
        mine, theirs = (trial.answers[np.flatnonzero(held.folds == 2)].toarray() for trial in (one, two))
        np.testing.assert_array_equal(mine, theirs)


def test_gain_and_spread_are_those_of_a_slow_loop() -> None:
    held = drawn(120)
    plain, trial = cross_validated(["fixed-k"], held)
    counted = held.n_truth > 0
    ours, base = (image_f1(each.answers, held.labels, held.n_truth) for each in (trial, plain))
    gains = (ours - base)[counted]
    of_group: dict[int, float] = {}
    for group, gain in zip(held.groups[counted], gains, strict=True):
        of_group[group] = of_group.get(group, 0.0) + gain - gains.mean()
    spread = np.sqrt(sum(value**2 for value in of_group.values())) / counted.sum()
    assert trial.gain == pytest.approx(gains.mean())
    assert trial.spread == pytest.approx(spread)
    assert plain.gain == 0
    assert trial.folds[1] == pytest.approx(ours[counted & (held.folds == 1)].mean())


def test_calibration_wins_where_the_scores_are_distorted() -> None:
    trials = cross_validated([PLAIN, "calibrated", "expected-f1"], drawn(900, distort=3.0))
    chosen = best_of(trials)
    assert chosen.name != PLAIN
    assert chosen.gain > 2 * chosen.spread


def test_a_rule_that_only_fits_is_not_taken() -> None:
    """Scores that know nothing: cuts of their own fit the tuning images, and lose on the others."""
    random = np.random.default_rng(0)
    labels = csr_array(random.random((60, 80)) < 0.05)
    z = random.normal(-3, 0.5, (60, 80)).astype(np.float32)
    held = Validation(z, labels, labels.sum(axis=1), None, np.arange(60), np.arange(60) % 5)
    chosen = best_of(cross_validated([PLAIN, "per-concept"], held))
    fitted = tune("per-concept", Evidence(special.expit(z)), labels, held.n_truth)
    gained = image_f1(decide(fitted, Evidence(special.expit(z))), labels, held.n_truth).mean()
    assert gained > 2 * np.nanmean(chosen.f1)
    assert chosen.name == PLAIN


def test_a_gain_within_its_spread_is_not_taken() -> None:
    def trial(name: str, gain: float, spread: float) -> Trial:
        return Trial(name, csr_array((1, 1)), np.zeros((1, 1), np.float32), np.zeros(1), gain, spread, ())

    trials = [trial(PLAIN, 0, 0), trial("a", 0.03, 0.04), trial("b", 0.01, 0.005), trial("c", 0.02, 0.01)]
    assert best_of(trials).name == "c"
    assert best_of(trials[:2]).name == PLAIN


def test_one_fold_is_tuned_and_scored_on_the_same_images() -> None:
    held = drawn(40)
    one = Validation(held.log_odds, held.labels, held.n_truth, None, held.groups, np.zeros(40, np.int64))
    _, trial = cross_validated(["calibrated"], one)
    answers, _ = tuned("calibrated", one)(one.log_odds, None)
    np.testing.assert_array_equal(trial.answers.toarray(), answers.toarray())


def test_a_gain_of_just_its_spread_is_not_enough() -> None:
    f1 = np.zeros(2)
    plainest, better = (
        Trial(name, csr_array((2, 1)), np.zeros((2, 1), np.float32), f1, gain, 0.25, ())
        for name, gain in (("global", 0.0), ("fixed-k", 0.25))
    )
    assert best_of([plainest, better]) is plainest
