"""What one training step is given and gives back, and the settings of every training by gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from imageclef.learners.base import LearnerSettings
from imageclef.learners.schedule import Schedule

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


class GradientSettings(LearnerSettings):
    """The settings of every learner that is trained by gradient.

    Attributes:
        epochs: passes over the images; 0 leaves the network as it was drawn.
        batch_size: images in one update; with several processes, of all of them together.
        warmup: share of the training over which learning rates rise to their full value.
        schedule: learning rates after that: constant, or half a cosine to zero.
        clip: largest norm of the gradient of an update, over all its parameters; None does not clip.
        averaging: decay of the exponential average of the weights, which then replaces them when the
            training ends; 0 keeps the last weights.
    """

    epochs: int = Field(default=50, ge=0)
    batch_size: int = Field(default=32, ge=2)
    warmup: float = Field(default=0.0, ge=0, le=1)
    schedule: Schedule = "constant"
    clip: float | None = Field(default=None, gt=0)
    averaging: float = Field(default=0.0, ge=0, lt=1)


def adam(rate: float, betas: tuple[float, float], *modules: torch.nn.Module) -> torch.optim.Adam:
    """AMSGrad (Reddi et al. 2018) over the parameters of some modules."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return torch.optim.Adam(parameters, lr=rate, betas=betas, amsgrad=True, fused=True)
