"""The device and the precision of a computation, found without importing PyTorch wherever that is possible.

An up-to-date stage must know its device to recognise its artifact, and must not spend seconds on an import.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Literal

from imageclef.errors import ConfigError

Precision = Literal["fp32", "bf16"]

_GPU_NODES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""One of them exists wherever Linux has a driver that PyTorch can use: NVIDIA, WSL, ROCm."""
_CPU_INFO = Path("/proc/cpuinfo")


def resolve_device(name: str) -> str:
    """Return ``cpu``, ``cuda`` or ``cuda:N`` for the setting ``device``.

    Raises:
        ConfigError: the name is none of auto, cpu, cuda and cuda:N, or PyTorch sees no CUDA device.
    """
    if name == "auto":
        return "cuda" if cuda_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", name):
        raise ConfigError(f"device = '{name}': expected auto, cpu, cuda or cuda:N")
    if name != "cpu" and not cuda_available():
        raise ConfigError(f"device = '{name}': torch sees no CUDA device here; expected auto or cpu")
    return name


@cache
def cuda_available() -> bool:
    """Whether PyTorch sees a CUDA device; it is only asked where the system has a driver."""
    if sys.platform == "darwin":
        return False
    if sys.platform == "linux" and not any(Path(node).exists() for node in _GPU_NODES):
        return False
    import torch

    return torch.cuda.is_available()


@cache
def reduced_precision(device_type: str) -> Precision:
    """bf16 where the processor has instructions for it, else fp32: emulated bf16 is slower than fp32."""
    if device_type == "cpu" and _CPU_INFO.exists():
        return "bf16" if "avx512_bf16" in _CPU_INFO.read_text(encoding="utf-8").split() else "fp32"
    import torch

    if device_type == "cpu":
        return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
