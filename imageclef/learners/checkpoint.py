"""One saver for every learner: tensors as safetensors, the rest as JSON. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from imageclef.errors import ArtifactError

_META = "imageclef"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and a JSON object into one file; the file appears whole or not at all."""
    beside = path.with_name(path.name + ".tmp")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, beside, metadata={_META: json.dumps(meta)})
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises:
        ArtifactError: the file is missing, cut short, or not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return tensors, json.loads((file.metadata() or {})[_META])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ArtifactError(f"{path}: not a checkpoint of imageclef ({error})") from None


def save_training(
    path: Path, module: nn.Module, optimizers: Mapping[str, torch.optim.Optimizer], epoch: int
) -> None:
    """Write all that training needs to go on after `epoch` finished epochs."""
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{name}.{index}.{slot}": value for slot, value in slots.items()}
    save_tensors(path, tensors, {"epoch": epoch})


def load_training(path: Path, module: nn.Module, optimizers: Mapping[str, torch.optim.Optimizer]) -> int:
    """Restore what `save_training` wrote.

    Returns:
        The number of finished epochs.

    Raises:
        ArtifactError: the file is damaged or belongs to another network.
    """
    tensors, meta = load_tensors(path)
    states: dict[str, dict[int, dict[str, Tensor]]] = {name: {} for name in optimizers}
    weights = {}
    for key, tensor in tensors.items():
        kind, rest = key.split(".", 1)
        if kind == "module":
            weights[rest] = tensor
        else:
            name, index, slot = rest.split(".")
            states[name].setdefault(int(index), {})[slot] = tensor
    restore(module, weights, path)
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states[name]})
        _match_layout(optimizer)
    return int(meta["epoch"])


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
