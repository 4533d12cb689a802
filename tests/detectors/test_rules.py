from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array

from imageclef.detectors.rules import Evidence, Nearest, Rule, RuleName, decide, tune
from imageclef.detectors.thresholds import best_k, image_f1, mean_image_f1, top_k
from imageclef.errors import TrainingError

NAMES: tuple[RuleName, ...] = ("global", "per-concept", "fixed-k", "expected-f1")


def drawn(n: int = 60, width: int = 7, seed: int = 0) -> tuple[Evidence, csr_array, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.random((n, width)) < 0.3
    scores = np.clip(0.5 * labels + random.normal(0.3, 0.25, (n, width)), 0.01, 0.99).astype(np.float32)
    close = random.random(n) < 0.4
    found = np.where(close[:, None], labels, random.random((n, width)) < 0.3)
    similarity = np.where(close, random.uniform(0.8, 1, n), random.uniform(0.2, 0.8, n)).astype(np.float32)
    n_truth = labels.sum(1) + random.integers(0, 2, n)
    return Evidence(scores, Nearest(csr_array(found), similarity)), csr_array(labels), n_truth


def score(rule: Rule, evidence: Evidence, labels: csr_array, n_truth: np.ndarray) -> float:
    return mean_image_f1(decide(rule, evidence), labels, n_truth)


@pytest.mark.parametrize("name", NAMES)
def test_the_amendments_never_lose_where_they_are_tuned(name: RuleName) -> None:
    for seed in range(5):
        evidence, labels, n_truth = drawn(seed=seed)
        plain = score(tune(name, evidence, labels, n_truth, post_process=False), evidence, labels, n_truth)
        alone = Evidence(evidence.scores)
        filled = score(tune(name, alone, labels, n_truth), alone, labels, n_truth)
        assert plain <= filled + 1e-12
        assert score(tune(name, evidence, labels, n_truth), evidence, labels, n_truth) >= plain - 1e-12


def test_copying_starts_at_the_best_of_all_similarities() -> None:
    for seed in range(8):
        evidence, labels, n_truth = drawn(seed=seed)
        rule = tune("global", evidence, labels, n_truth, post_process=False)
        nearest = evidence.nearest
        own, copied = decide(rule, Evidence(evidence.scores)), nearest.labels
        f1, f1_copied = (image_f1(answers, labels, n_truth) for answers in (own, copied))
        cuts = [*nearest.similarity, np.inf]
        means = [np.mean(np.where(nearest.similarity >= cut, f1_copied, f1)[n_truth > 0]) for cut in cuts]
        tuned = tune("global", evidence, labels, n_truth)
        without_filling = Rule("global", tuned.parameters, tuned.copied_from)
        assert score(without_filling, evidence, labels, n_truth) == pytest.approx(max(means))


def test_neighbours_that_know_nothing_are_not_copied() -> None:
    evidence, labels, n_truth = drawn()
    empty = Nearest(csr_array(labels.shape, dtype=bool), evidence.nearest.similarity)
    assert tune("global", Evidence(evidence.scores, empty), labels, n_truth).copied_from == np.inf


def test_an_image_without_an_answer_gets_its_best_concepts() -> None:
    scores = np.array([[0.2, 0.3, 0.1], [0.3, 0.2, 0.05], *[[0.9, 0.4, 0.35]] * 8], np.float32)
    expected = np.array([[1, 1, 0], [1, 1, 0], *[[1, 0, 0]] * 8], bool)
    rule = Rule("global", np.array([0.5], np.float32), at_least=2)
    np.testing.assert_array_equal(decide(rule, Evidence(scores)).toarray(), expected)
    tuned = tune("global", Evidence(scores), csr_array(expected), expected.sum(1))
    np.testing.assert_array_equal(decide(tuned, Evidence(scores)).toarray(), expected)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, (6, 4), elements=st.sampled_from([0.1, 0.2, 0.5, 0.9])),
    hnp.arrays(bool, (6, 4)),
    st.integers(0, 2),
)
def test_the_best_k_is_that_of_trying_each(scores: np.ndarray, truth: np.ndarray, outside: int) -> None:
    labels, n_truth = csr_array(truth), truth.sum(1) + outside
    if not n_truth.any():
        with pytest.raises(TrainingError, match="no image has a true concept"):
            best_k(scores, labels, n_truth)
        return
    k, found = best_k(scores, labels, n_truth)
    tried = [mean_image_f1(top_k(scores, number), labels, n_truth) for number in range(1, 5)]
    assert found == pytest.approx(max(tried))
    assert tried[k - 1] == pytest.approx(max(tried))


def test_expected_f1_expects_what_lies_outside_the_vocabulary() -> None:
    evidence, labels, n_truth = drawn()
    inside = labels.sum(axis=1)
    rule = tune("expected-f1", evidence, labels, n_truth)
    assert rule.parameters[0] == pytest.approx(np.mean(n_truth - inside))


def test_no_image_gets_more_than_an_edition_allows() -> None:
    evidence, labels, n_truth = drawn()
    for name in NAMES:
        rule = tune(name, evidence, labels, n_truth)
        whole, limited = decide(rule, evidence), decide(rule, evidence, most=2)
        assert np.diff(limited.indptr).max() <= 2
        assert (limited.toarray() <= whole.toarray()).all()


def test_top_k_of_some_images_leaves_the_others_empty() -> None:
    scores = np.array([[0.1, 0.3, 0.3], [0.9, 0.8, 0.7]], np.float32)
    expected = [[0, 1, 1], [0, 0, 0]]
    np.testing.assert_array_equal(top_k(scores, 2, np.array([True, False])).toarray(), expected)
    np.testing.assert_array_equal(top_k(scores, 9).toarray(), np.ones((2, 3)))


def test_no_concept_is_added_where_none_would_be_right() -> None:
    """An empty image whose truth is outside the vocabulary scores 0 whatever is added."""
    scores = np.array([[0.9, 0.1], [0.2, 0.1]], np.float32)
    labels = csr_array(np.array([[True, False], [False, False]]))
    rule = tune("global", Evidence(scores), labels, np.array([1, 1]))
    assert rule.parameters[0] > 0.2
    assert rule.at_least == 0


def test_at_least_is_tuned_only_where_an_image_is_empty() -> None:
    scores = np.array([[0.9, 0.8], [0.9, 0.8], [0.1, 0.1]], np.float32)
    labels = csr_array(np.array([[True, True], [True, True], [False, False]]))
    # The one empty image has no truth: there is nothing to tune on, and nothing to gain.
    assert tune("global", Evidence(scores), labels, np.array([2, 2, 0])).at_least == 0


def test_copying_that_gains_nothing_is_not_done() -> None:
    scores = np.array([[0.9, 0.1], [0.1, 0.9]], np.float32)
    labels = csr_array(np.array([[True, False], [False, True]]))
    same = Nearest(labels, np.array([0.5, 0.7], np.float32))
    assert tune("global", Evidence(scores, same), labels, np.array([1, 1])).copied_from == float("inf")
