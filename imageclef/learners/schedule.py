"""How the learning rate changes over a training: a linear warm-up, then constant or half a cosine to zero.

The factor depends on the number of the update alone, so that a training that goes on after a kill needs no
state for it.

Reference: Loshchilov and Hutter 2017, "SGDR"; Goyal et al. 2017 for the warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from imageclef.learners.settings import Schedule


def rate_factor(update: int, n_updates: int, warmup: float, schedule: Schedule) -> float:
    """The factor of the learning rate at an update.

    Args:
        update: counted from 0.
        n_updates: of the whole training.
        warmup: share of the training over which the rate rises to its full value.
        schedule: what follows.

    Raises:
        ValueError: an unknown schedule.
    """
    n_warmup = round(warmup * n_updates)
    if update < n_warmup:
        return (update + 1) / n_warmup
    match schedule:
        case "constant":
            return 1.0
        case "cosine":
            done = (update - n_warmup) / max(n_updates - n_warmup, 1)
            return 0.5 * (1 + math.cos(math.pi * done))
    raise ValueError(f"unknown schedule {schedule!r}")


def set_rates(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Set every learning rate to its initial value times a factor."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
