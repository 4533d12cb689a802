from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from imageclef.config import ClassifySettings
from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.task import Rows, Task, with_the_rest_right
from imageclef.detectors.thresholds import apply_thresholds, global_threshold, mean_image_f1
from imageclef.features.labelled import Labelled


def test_what_is_outside_counts_as_answered_and_right() -> None:
    scores = np.array([[0.9, 0.2], [0.6, 0.1], [0.7, 0.3]], np.float32)
    labels = csr_array(np.array([[1, 0], [0, 0], [0, 1]], np.uint8))
    n_truth = np.array([3, 2, 1])
    joined, truth = with_the_rest_right(scores, labels, n_truth)
    np.testing.assert_array_equal(np.asarray(truth.sum(1)).ravel(), n_truth)
    answered = apply_thresholds(joined, 0.5)
    # right, answered and true: (1 + 2, 1 + 2, 3), (0 + 2, 1 + 2, 2), (0, 1, 1)
    expected = np.mean([2 * 3 / (3 + 3), 2 * 2 / (3 + 2), 0.0])
    assert np.isclose(mean_image_f1(answered, truth, n_truth), expected)


def test_a_window_with_everything_inside_is_left_alone() -> None:
    scores, labels = np.array([[0.9, 0.2]], np.float32), csr_array(np.array([[1, 1]], np.uint8))
    joined, truth = with_the_rest_right(scores, labels, np.array([2]))
    np.testing.assert_array_equal(joined, scores)
    np.testing.assert_array_equal(truth.toarray(), labels.toarray())


def test_a_rare_window_does_not_flood_the_join() -> None:
    """One image in fifty has the concept; the score hardly knows which."""
    random = np.random.default_rng(0)
    labels = csr_array((np.arange(500) % 50 == 0)[:, None].astype(np.uint8))
    scores = random.random((500, 1)).astype(np.float32) * 0.5 + 0.2 * labels.toarray()
    n_truth = np.full(500, 3)
    alone, _ = global_threshold(scores.astype(np.float32), labels, n_truth)
    joined, _ = global_threshold(*with_the_rest_right(scores.astype(np.float32), labels, n_truth), n_truth)
    flood = (scores >= alone).sum()
    assert (scores >= joined).sum() < 0.2 * flood


def test_a_window_is_scored_as_if_the_rest_were_right() -> None:
    labels = csr_array(np.array([[1], [0], [1], [0]], np.uint8))
    numbers = np.arange(4)
    data = Labelled(numbers, numbers >= 0, labels, np.array([2, 1, 2, 1]), numbers, numbers)
    vocabulary = Vocabulary(("C1",), (2,))
    log_odds = np.array([[1.0], [-1.0], [1.0], [-1.0]], np.float32)
    alone, joined = (
        Task(Rows(list("abcd")), data, vocabulary, ClassifySettings(offset=offset)) for offset in (0, 5)
    )
    assert alone.score(log_odds) == pytest.approx(np.mean([2 / 3, 0, 2 / 3, 0]))
    assert joined.score(log_odds) == pytest.approx(1.0)
