"""Learners that are trained by gradient: what one of them has to define, and what all of them share.

A learner defines its optimizers and one `step`: every update for one batch. The loop in
`imageclef.learners.training` does the rest: epochs, learning rates, averaged weights, checkpoints.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from imageclef.learners.base import Learner, Training
from imageclef.learners.images import TrainingImages
from imageclef.learners.processes import average_over_processes
from imageclef.learners.settings import GradientSettings
from imageclef.learners.steps import Batch, Losses, Optimizers
from imageclef.learners.training import train


class GradientLearner(Learner):
    """A learner that is trained by gradient."""

    settings: GradientSettings

    @abstractmethod
    def optimizers(self) -> Optimizers:
        """New optimizers by name."""

    @abstractmethod
    def step(self, batch: Batch, optimizers: Optimizers) -> Losses:
        """Do every update for one batch, each by `self.update`; return the losses by name."""

    def fit(self, images: TrainingImages, training: Training) -> None:
        """Train for `settings.epochs` epochs."""
        self.to(training.device)
        train(self, self.step, self.optimizers(), images, training, self.settings, self.uses_labels)

    def update(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """Take one step down a loss, with the parameters of this optimizer only.

        With several processes, the gradient is the mean of theirs.
        """
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        gradients = torch.autograd.grad(loss, parameters)
        average_over_processes(gradients)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        if self.settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        optimizer.step()
