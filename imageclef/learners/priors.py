"""The distributions that codes are drawn from."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from imageclef.learners.settings import Prior


def sample_prior(prior: Prior, n: int, n_codes: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw codes (n, n_codes), float32.

    "sphere" is uniform on the unit hypersphere: a normal vector divided by its length.

    Raises:
        ValueError: an unknown prior.
    """
    if prior == "uniform":
        return torch.rand(n, n_codes, generator=generator) * 2 - 1
    if prior == "bernoulli":
        return torch.randint(0, 2, (n, n_codes), generator=generator).float() * 2 - 1
    normal = torch.randn(n, n_codes, generator=generator)
    match prior:
        case "normal":
            return normal
        case "rectified-normal":
            return normal.relu()
        case "sphere":
            return F.normalize(normal, dim=1)
    raise ValueError(f"unknown prior {prior!r}")
