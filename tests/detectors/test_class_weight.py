"""Class weights, from the pass over the rows to the fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from imageclef.detectors.logistic import LogisticRegression, regularisation_path
from imageclef.detectors.moments import FeatureRows, StandardisedRows, take_moments
from imageclef.detectors.objective import Objective
from imageclef.detectors.targets import Labels, indicator
from tests.detectors.problems import drawn, oracle_objective, reached_objective, standardised


@pytest.mark.parametrize("class_weight", ["balanced", 7.5, 0.2])
@pytest.mark.parametrize("c", [0.01, 1.0, 30.0])
def test_reaches_the_objective_of_scikit_learn(class_weight: float | str, c: float) -> None:
    features, labels = drawn()
    model = LogisticRegression(c, class_weight=class_weight).fit(features, labels)
    assert model.report.converged.all()
    for concept, y in enumerate(labels.toarray().T):
        expected = oracle_objective(features, y, c, class_weight)
        found = model.weights[concept], model.intercepts[concept]
        assert reached_objective(features, y, *found, c, class_weight) == pytest.approx(expected, rel=2e-5)
        assert model.report.losses[concept] * c * len(y) == pytest.approx(expected, rel=2e-5)


def test_a_weight_of_one_is_no_weight() -> None:
    features, labels = drawn()
    np.testing.assert_array_equal(
        LogisticRegression(class_weight=1.0).fit(features, labels).weights,
        LogisticRegression().fit(features, labels).weights,
    )


@pytest.mark.parametrize("positives", [1, 2])
def test_a_rare_concept_in_balance(positives: int) -> None:
    features, _ = drawn(n=3000)
    y = np.zeros(3000, bool)
    y[[5, 700][:positives]] = True
    model = LogisticRegression(class_weight="balanced").fit(features, sparse.csr_array(y[:, None]))
    assert model.report.converged.all()
    reached = reached_objective(features, y, model.weights[0], model.intercepts[0], 1.0, "balanced")
    assert reached == pytest.approx(oracle_objective(features, y, 1.0, "balanced"), rel=2e-5)


def test_small_blocks_some_rows_and_concepts_that_have_left_change_nothing() -> None:
    features, labels = drawn(n=500)
    dense = labels.toarray()
    dense[:, 2], dense[:, 5] = False, True
    rows = np.random.default_rng(1).permutation(500)[:300]
    some = LogisticRegression(tolerance=1e-9, class_weight="balanced").fit(
        features[rows], sparse.csr_array(dense[rows])
    )
    assert some.report.degenerate.tolist() == [False, False, True, False, False, True, False, False]
    small = LogisticRegression(tolerance=1e-9, block_rows=37, class_weight="balanced").fit(
        features, sparse.csr_array(dense[rows]), rows
    )
    largest = np.abs(some.weights).max(axis=1, keepdims=True) + 1e-30
    np.testing.assert_allclose(small.weights / largest, some.weights / largest, atol=1e-4)


def test_a_path_and_a_warm_start_follow_the_weights() -> None:
    features, labels = drawn()
    path = regularisation_path(features, labels, [0.1, 10.0], class_weight="balanced")
    for model in path:
        single = LogisticRegression(model.c, class_weight="balanced").fit(features, labels)
        np.testing.assert_allclose(model.report.losses, single.report.losses, rtol=5e-6)
    again = LogisticRegression(10.0, class_weight="balanced").fit(features, labels, warm_start=path[1])
    assert again.report.passes.max() <= 2


def weighted(ratios: np.ndarray) -> tuple[Objective, np.ndarray, np.ndarray]:
    features, labels = drawn(n=200, d=6, n_concepts=4)
    rows = FeatureRows(features, None, "cpu", 64)
    moments = take_moments(rows, labels)
    counted = Labels(indicator(labels), ratios, torch.device("cpu"))
    return (
        Objective(StandardisedRows(rows, moments), moments, counted),
        standardised(features),
        labels.toarray(),
    )


RATIOS = np.array([0.25, 1.0, 3.0, 40.0])


def test_the_start_is_known_without_a_pass() -> None:
    objective, _, y = weighted(RATIOS)
    start = objective.start()
    seen = objective.evaluate(start.points, torch.arange(4), torch.full((4,), 0.01))
    np.testing.assert_allclose(start.losses, seen.losses, rtol=1e-5)
    np.testing.assert_allclose(start.gradients, seen.gradients, atol=1e-5)
    np.testing.assert_allclose(start.curvatures, seen.curvatures, rtol=1e-5)
    np.testing.assert_allclose(start.gradients[:, -1], 0, atol=1e-6)
    share = RATIOS * y.mean(axis=0) / (1 + (RATIOS - 1) * y.mean(axis=0))
    np.testing.assert_allclose(torch.sigmoid(start.points[:, -1]), share, rtol=1e-5)


def test_one_pass_is_the_plain_formula() -> None:
    objective, x, y = weighted(RATIOS)
    rng = np.random.default_rng(0)
    weights, intercepts, ridge = rng.standard_normal((4, 6)), rng.standard_normal(4), 0.02
    points = torch.from_numpy(np.column_stack([weights @ objective.basis.double().numpy(), intercepts]))
    order = [2, 0, 3]
    here = objective.evaluate(points[order].float(), torch.tensor(order), torch.full((3,), ridge))
    z, counts = x @ weights.T + intercepts, np.where(y, RATIOS, 1.0)
    p = 1 / (1 + np.exp(-z))
    losses = (counts * np.logaddexp(0, np.where(y, -z, z))).mean(axis=0) + ridge / 2 * (weights**2).sum(
        axis=1
    )
    np.testing.assert_allclose(here.losses, losses[order], rtol=1e-5)
    np.testing.assert_allclose(here.curvatures, (counts * p * (1 - p)).mean(axis=0)[order], rtol=1e-4)
    slopes = (counts * (p - y)).T @ x / len(x) + ridge * weights
    in_basis = np.column_stack([slopes @ objective.basis.double().numpy(), (counts * (p - y)).mean(axis=0)])
    np.testing.assert_allclose(here.gradients, in_basis[order], atol=2e-5)
