"""Weights and the state of a training on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from imageclef.errors import ArtifactError
from imageclef.storage.tensors import load_arrays, save_arrays


@dataclass(frozen=True)
class TrainingState:
    """How far a training has come; its weights and the moments of its optimizers are saved beside it.

    Attributes:
        epochs: number of finished epochs.
        batches: number of finished batches of the next epoch.
        within: what the rest of that epoch depends on: the states of the generators, the losses so far.
    """

    epochs: int = 0
    batches: int = 0
    within: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def within_epoch(
        cls, epochs: int, batches: int, losses: Mapping[str, Tensor], device: torch.device
    ) -> TrainingState:
        """Record a state within an epoch, with the states of the generators as they are now."""
        within = {"rng.cpu": torch.get_rng_state()}
        if device.type == "cuda":
            within["rng.cuda"] = torch.cuda.get_rng_state(device)
        # Numbered: the file sorts names, and the history keeps the learner's order.
        within |= {f"loss.{place:03}.{name}": losses[name] for place, name in enumerate(losses)}
        return cls(epochs, batches, within)

    def restored(self, device: torch.device) -> dict[str, Tensor]:
        """Set the generators back, and return the losses so far."""
        within = dict(self.within)
        if "rng.cpu" in within:
            torch.set_rng_state(within.pop("rng.cpu"))
        if "rng.cuda" in within:
            torch.cuda.set_rng_state(within.pop("rng.cuda"), device)
        return {name.split(".", 2)[2]: within[name].to(device) for name in sorted(within)}


def save_tensors(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and a JSON object into one file; the file appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    save_arrays(path, {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}, meta)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises:
        ArtifactError: the file is missing, cut short, not one of ours, or has other bytes than were written.
    """
    arrays, meta = load_arrays(path)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, meta


def save_training(
    path: Path,
    module: nn.Module,
    optimizers: Mapping[str, torch.optim.Optimizer],
    state: TrainingState,
    average: nn.Module | None = None,
) -> None:
    """Write everything that a training needs to go on: weights, their average, moments, and its state."""
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    for name, optimizer in optimizers.items():
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{name}.{index}.{slot}": value for slot, value in slots.items()}
    tensors |= {f"within.{name}": tensor for name, tensor in state.within.items()}
    save_tensors(path, tensors, {"epoch": state.epochs, "batch": state.batches})


def load_training(
    path: Path,
    module: nn.Module,
    optimizers: Mapping[str, torch.optim.Optimizer],
    average: nn.Module | None = None,
) -> TrainingState:
    """Restore what `save_training` wrote, and return its state.

    Raises:
        ArtifactError: the file is damaged or belongs to another network.
    """
    tensors, meta = load_tensors(path)
    parts: dict[str, dict[str, Tensor]] = {"module": {}, "average": {}, "optimizer": {}, "within": {}}
    for key, tensor in tensors.items():
        kind, name = key.split(".", 1)
        parts[kind][name] = tensor
    restore(module, parts["module"], path)
    if average is not None:
        restore(average, parts["average"], path)
    _restore_moments(optimizers, parts["optimizer"])
    return TrainingState(int(meta["epoch"]), int(meta.get("batch", 0)), parts["within"])


def _restore_moments(optimizers: Mapping[str, torch.optim.Optimizer], tensors: Mapping[str, Tensor]) -> None:
    """Set the moments of optimizers from tensors named OPTIMIZER.INDEX.SLOT."""
    states: dict[str, dict[int, dict[str, Tensor]]] = {name: {} for name in optimizers}
    for key, tensor in tensors.items():
        name, index, slot = key.split(".")
        states[name].setdefault(int(index), {})[slot] = tensor
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states[name]})
        _match_layout(optimizer)


def _match_layout(optimizer: torch.optim.Optimizer) -> None:
    """Lay the moments out as their parameters are: a fused step walks both in the order of memory."""
    for parameter, slots in optimizer.state.items():
        for name, value in slots.items():
            if value.shape == parameter.shape:
                slots[name] = torch.empty_like(parameter).copy_(value)


def restore(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load weights into a module of the same shape.

    Raises:
        ArtifactError: they belong to a module of other layers or sizes.
    """
    try:
        module.load_state_dict(dict(weights))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ArtifactError(f"{path}: weights of another network: {reason}") from None
