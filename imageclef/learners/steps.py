"""What one training step is given and gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Optimizers = dict[str, torch.optim.Optimizer]
Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes:
        images: uint8 (n, 3, image_size, image_size), on the device.
        labels: float32 (n, n_concepts), 1 where an image has a concept; None unless the learner declares
            `uses_labels`.
        progress: share of the training that is done, from 0 to below 1; for weights that change over it.
    """

    images: Tensor
    labels: Tensor | None = None
    progress: float = 0.0


Step = Callable[[Batch, Optimizers], Losses]
"""Every update for one batch; returns the losses by name."""


def adam(rate: float, betas: tuple[float, float], *modules: torch.nn.Module) -> torch.optim.Adam:
    """AMSGrad (Reddi et al. 2018) over the parameters of some modules."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return torch.optim.Adam(parameters, lr=rate, betas=betas, amsgrad=True, fused=True)
