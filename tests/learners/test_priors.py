from __future__ import annotations

import pytest
import torch

from imageclef.learners.priors import sample_prior


def drawn(prior: str) -> torch.Tensor:
    return sample_prior(prior, 4000, 6, torch.Generator().manual_seed(0))


def test_codes_on_the_sphere_have_length_one_and_point_everywhere() -> None:
    codes = drawn("sphere")
    torch.testing.assert_close(codes.norm(dim=1), torch.ones(4000))
    torch.testing.assert_close(codes.T @ codes / 4000, torch.eye(6) / 6, rtol=0, atol=0.01)
    assert codes.mean(0).abs().max() < 0.03


@pytest.mark.parametrize(
    ("prior", "mean", "square", "low", "high"),
    [
        ("normal", 0.0, 1.0, -6, 6),
        ("uniform", 0.0, 1 / 3, -1, 1),
        ("rectified-normal", 0.3989, 0.5, 0, 6),
        ("bernoulli", 0.0, 1.0, -1, 1),
    ],
)
def test_priors_have_their_moments_and_range(
    prior: str, mean: float, square: float, low: float, high: float
) -> None:
    codes = drawn(prior)
    assert codes.mean().item() == pytest.approx(mean, abs=0.03)
    assert codes.square().mean().item() == pytest.approx(square, abs=0.03)
    assert low <= codes.min()
    assert codes.max() <= high


def test_bernoulli_codes_are_signs() -> None:
    assert set(drawn("bernoulli").unique().tolist()) == {-1.0, 1.0}
