from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from imageclef.detectors.lbfgs import FIRST_DAMPING, Descent, Limits, minimise
from imageclef.detectors.moments import FeatureRows, StandardisedRows, take_moments
from imageclef.detectors.objective import Objective
from imageclef.detectors.targets import Labels, indicator


def rare_concepts(n: int = 300, d: int = 60, n_concepts: int = 12) -> tuple[Objective, torch.Tensor]:
    """Skewed features and few positives: the quadratic model is poor, and full steps overshoot."""
    rng = np.random.default_rng(0)
    features = rng.lognormal(sigma=1.5, size=(n, d)).astype(np.float32)
    labels = np.zeros((n, n_concepts), bool)
    for concept in range(n_concepts):
        labels[np.argsort(features[:, concept])[-3 - concept :], concept] = True
    truth = sparse.csr_array(labels)
    rows = FeatureRows(features, None, "cpu")
    moments = take_moments(rows, indicator(truth))
    plain = Labels(indicator(truth), np.ones(n_concepts), torch.device("cpu"))
    return Objective(StandardisedRows(rows, moments), moments, plain), torch.full((n_concepts,), 1 / n)


def test_the_loss_of_no_concept_ever_rises() -> None:
    objective, ridges = rare_concepts()
    descent = Descent(objective, objective.start(), torch.arange(len(ridges)), ridges)
    refused = False
    for _ in range(12):
        before, points = descent.position.losses.clone(), descent.position.points.clone()
        descent.advance()
        assert (descent.position.losses <= before * (1 + 1e-6)).all()
        stayed = (descent.position.points == points).all(dim=1)
        refused |= bool(stayed.any())
        assert torch.equal(descent.position.losses[stayed], before[stayed])
    assert refused, "the problem is meant to make steps overshoot"


def test_a_refused_step_makes_the_next_one_shorter() -> None:
    objective, ridges = rare_concepts()
    descent = Descent(objective, objective.start(), torch.arange(len(ridges)), ridges)
    for _ in range(25):
        before = descent._damping.clone()
        points = descent.position.points.clone()
        descent.advance()
        stayed = (descent.position.points == points).all(dim=1)
        assert torch.equal(descent._damping[stayed], before[stayed] / 2)
        assert (descent._damping[~stayed] > before[~stayed] - 1e-6).all()
    assert descent._damping.max() <= 1.0
    assert FIRST_DAMPING < 1.0


def test_the_estimated_gap_is_near_the_true_one() -> None:
    objective, ridges = rare_concepts()
    concepts = torch.arange(len(ridges))
    best = minimise(objective, objective.start(), concepts, ridges, Limits(1e-10, 500)).position.losses
    for tolerance in (1e-3, 1e-4, 1e-5):
        found = minimise(objective, objective.start(), concepts, ridges, Limits(tolerance, 500))
        assert (found.gaps <= tolerance).all()
        assert (found.position.losses / best - 1 < 30 * tolerance).all()


def test_minimise_leaves_its_start_alone() -> None:
    objective, ridges = rare_concepts()
    start = objective.start()
    kept = start.points.clone()
    minimise(objective, start, torch.arange(len(ridges)), ridges, Limits(1e-5, 50))
    assert torch.equal(start.points, kept)
