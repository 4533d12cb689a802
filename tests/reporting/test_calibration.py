from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from imageclef.reporting.beside import RunScores
from imageclef.reporting.bootstrap import GroupBootstrap
from imageclef.reporting.calibration import calibrate


def scores_of(matrix: np.ndarray, labels: np.ndarray) -> RunScores:
    return RunScores(
        tuple(f"C{place}" for place in range(matrix.shape[1])),
        csr_array(matrix.astype(np.float32)),
        csr_array(labels.astype(np.uint8)),
    )


def many(seed: int, images: int = 4000) -> tuple[np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return rng.beta(0.4, 2, (images, 20)) + 1e-6, rng


def test_calibrated_scores_lie_on_the_diagonal() -> None:
    scores, rng = many(0)
    labels = rng.random(scores.shape) < scores
    found = calibrate(scores_of(scores, labels), int(labels.sum()), GroupBootstrap(np.arange(4000), 300))
    assert found is not None
    assert found.error < 0.01
    assert len(found.bins) == 10
    assert sum(one.observed.low <= one.predicted <= one.observed.high for one in found.bins) >= 8
    assert found.expected_per_image == pytest.approx(found.observed_per_image, rel=0.02)
    assert (found.pairs, found.reached) == (80_000, 1)


def test_equals_a_slow_loop() -> None:
    scores, rng = many(1, 300)
    labels = rng.random(scores.shape) < scores**2
    found = calibrate(scores_of(scores, labels), 2 * int(labels.sum()), GroupBootstrap(np.arange(300), 10))
    assert found is not None
    pairs = sorted(zip(scores.astype(np.float32).ravel().tolist(), labels.ravel().tolist(), strict=True))
    error, start = 0.0, 0
    for one in found.bins:
        inside = pairs[start : start + one.pairs]
        start += one.pairs
        assert (one.lowest, one.highest) == (inside[0][0], inside[-1][0])
        assert one.predicted == pytest.approx(np.mean([score for score, _ in inside]))
        assert one.observed.value == pytest.approx(np.mean([right for _, right in inside]))
        error += one.pairs / len(pairs) * abs(one.predicted - one.observed.value)
    assert start == len(pairs)
    assert found.error == pytest.approx(error)
    assert found.reached == 0.5


def test_bins_hold_the_same_sum_of_scores() -> None:
    scores, _ = many(2, 500)
    found = calibrate(scores_of(scores, scores > 0.5), 1, GroupBootstrap(np.arange(500), 10))
    sums = [one.pairs * one.predicted for one in found.bins]
    assert max(sums) - min(sums) < 2.5
    assert found.bins[0].pairs > 20 * found.bins[-1].pairs


def test_what_is_not_stored_says_nothing() -> None:
    """Half of the truth has no score: its pairs are in no bin."""
    matrix, labels = np.array([[0.5, 0], [0.5, 0]]), np.array([[1, 1], [0, 1]])
    found = calibrate(scores_of(matrix, labels), 3, GroupBootstrap(np.arange(2), 10))
    assert (found.pairs, found.reached) == (2, pytest.approx(1 / 3))
    assert (len(found.bins), found.bins[0].observed.value, found.error) == (1, 0.5, 0)


def test_equal_scores_stay_together_and_no_scores_are_none() -> None:
    matrix = np.repeat([[0.2, 0.8]], 50, axis=0)
    found = calibrate(scores_of(matrix, matrix > 0.5), 50, GroupBootstrap(np.arange(50), 10))
    assert [(one.pairs, round(one.predicted, 6)) for one in found.bins] == [(50, 0.2), (50, 0.8)]
    empty = scores_of(np.zeros((3, 2)), np.ones((3, 2)))
    assert calibrate(empty, 6, GroupBootstrap(np.arange(3), 10)) is None
