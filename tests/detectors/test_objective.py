from __future__ import annotations

import numpy as np
import pytest
import torch

from imageclef.detectors.moments import FeatureRows, StandardisedRows, take_moments
from imageclef.detectors.objective import Objective
from imageclef.detectors.targets import Labels, indicator
from tests.detectors.problems import drawn, standardised

C = 0.7


def built(block_rows: int = 64) -> tuple[Objective, np.ndarray, np.ndarray]:
    features, labels = drawn(n=200, d=6, n_concepts=4)
    rows = FeatureRows(features, None, "cpu", block_rows)
    moments = take_moments(rows, labels)
    plain = Labels(indicator(labels), np.ones(4), torch.device("cpu"))
    return (
        Objective(StandardisedRows(rows, moments), moments, plain),
        standardised(features),
        labels.toarray(),
    )


def losses_in_float64(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, intercepts: np.ndarray
) -> np.ndarray:
    z = x @ weights.T + intercepts
    return (np.logaddexp(0, z) - y * z).mean(axis=0) + (weights**2).sum(axis=1) / (2 * C * len(x))


def test_moments_are_those_of_numpy() -> None:
    features, labels = drawn(n=200, d=6, n_concepts=4)
    moments = take_moments(FeatureRows(features, None, "cpu", 64), labels)
    x, y = standardised(features), labels.toarray().astype(float)
    mean = moments.centre + moments.offset * moments.scale
    np.testing.assert_allclose(mean, features.mean(axis=0, dtype=np.float64), rtol=1e-7)
    assert np.array_equal(moments.centre, moments.centre.astype(np.float32))
    np.testing.assert_allclose(moments.scale, features.std(axis=0, dtype=np.float64), rtol=1e-5)
    np.testing.assert_allclose(moments.correlation, x.T @ x / 200, atol=1e-5)
    offset = np.outer(y.mean(axis=0), moments.offset)
    np.testing.assert_allclose(moments.label_products - offset, y.T @ x / 200, atol=1e-6)
    np.testing.assert_allclose(moments.prevalences, y.mean(axis=0))


def test_a_column_far_from_zero_keeps_its_digits() -> None:
    features, labels = drawn(n=200, d=6, n_concepts=4)
    small = (features[:, 3] - features[:, 3].mean()) / features[:, 3].std()
    features[:, 3] = 30000 + np.round(small * 64) / 64
    moments = take_moments(FeatureRows(features, None, "cpu", 64), labels)
    assert moments.scale[3] == pytest.approx(features[:, 3].std(dtype=np.float64), rel=1e-5)


def test_one_pass_gives_losses_gradients_and_curvatures() -> None:
    objective, x, y = built()
    rng = np.random.default_rng(0)
    weights, intercepts = rng.standard_normal((4, 6)), rng.standard_normal(4)
    concepts, ridges = torch.tensor([2, 0]), torch.full((2,), 1 / (C * 200))
    in_basis = weights @ objective.basis.double().numpy()
    points = torch.from_numpy(np.column_stack([in_basis, intercepts]))[concepts].float()
    here = objective.evaluate(points, concepts, ridges)
    expected = losses_in_float64(x, y, weights, intercepts)[[2, 0]]
    np.testing.assert_allclose(here.losses, expected, rtol=1e-5)
    p = 1 / (1 + np.exp(-(x @ weights.T + intercepts)))
    np.testing.assert_allclose(here.curvatures, (p * (1 - p)).mean(axis=0)[[2, 0]], rtol=1e-4)
    for coordinate in range(7):
        ahead, behind = points.clone(), points.clone()
        ahead[:, coordinate] += 1e-2
        behind[:, coordinate] -= 1e-2
        rise = objective.evaluate(ahead, concepts, ridges).losses
        fall = objective.evaluate(behind, concepts, ridges).losses
        np.testing.assert_allclose(here.gradients[:, coordinate], (rise - fall) / 0.02, atol=2e-4)


def test_the_start_is_known_without_a_pass() -> None:
    objective, _, _ = built()
    start = objective.start()
    assert objective.passes == 0
    seen = objective.evaluate(start.points, torch.arange(4), torch.full((4,), 0.01))
    assert objective.passes == 1
    np.testing.assert_allclose(start.losses, seen.losses, rtol=1e-5)
    np.testing.assert_allclose(start.gradients, seen.gradients, atol=1e-6)
    np.testing.assert_allclose(start.curvatures, seen.curvatures, rtol=1e-5)


def test_another_ridge_needs_no_pass() -> None:
    objective, _, _ = built()
    points = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    old, new = torch.full((4,), 0.01), torch.tensor([0.0, 0.02, 0.3, 4.0])
    moved = objective.evaluate(points, torch.arange(4), old)
    objective.reweigh(moved, old, new)
    seen = objective.evaluate(points, torch.arange(4), new)
    np.testing.assert_allclose(moved.losses, seen.losses, rtol=1e-5)
    np.testing.assert_allclose(moved.gradients, seen.gradients, rtol=1e-4, atol=1e-5)


def test_weights_fold_and_unfold() -> None:
    objective, x, _ = built()
    features, _ = drawn(n=200, d=6, n_concepts=4)
    points = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    weights, intercepts = objective.fold(points)
    np.testing.assert_allclose(objective.unfold(weights, intercepts), points, atol=1e-4)
    in_basis = x @ (points[:, :-1].double() @ objective.basis.double().T).numpy().T + points[:, -1].numpy()
    np.testing.assert_allclose(features.astype(float) @ weights.T + intercepts, in_basis, atol=1e-3)
