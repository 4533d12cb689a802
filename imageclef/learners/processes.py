"""Training in several processes: each takes a share of every batch, and all take the mean of the gradients.

The processes are those of `torch.distributed`, started for example by ``torchrun``. Where it is not
initialised, there is one process, and nothing here changes a bit.

Reference: Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel Training".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, distributed, nn


def n_processes() -> int:
    """Number of processes that train together."""
    return distributed.get_world_size() if _together() else 1


def rank() -> int:
    """This process among them; the first is 0."""
    return distributed.get_rank() if _together() else 0


def average_over_processes(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in one message for each type of number."""
    if n_processes() == 1:
        return
    for dtype in {tensor.dtype for tensor in tensors}:
        group = [tensor for tensor in tensors if tensor.dtype == dtype]
        joined = torch.cat([tensor.detach().reshape(-1) for tensor in group])
        distributed.all_reduce(joined)
        parts = torch.split(joined / n_processes(), [tensor.numel() for tensor in group])
        for tensor, part in zip(group, parts, strict=True):
            tensor.detach().copy_(part.view(tensor.shape))


def begin_alike(module: nn.Module) -> None:
    """Give every process the parameters and buffers of the first."""
    if n_processes() > 1:
        for tensor in chain(module.parameters(), module.buffers()):
            distributed.broadcast(tensor.detach(), src=0)


def average_buffers(module: nn.Module) -> None:
    """Average running statistics, which each process estimates from its own share of the batches."""
    average_over_processes([buffer for buffer in module.buffers() if buffer.is_floating_point()])


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
