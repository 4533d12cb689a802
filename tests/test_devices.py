from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from imageclef import devices
from imageclef.errors import ConfigError


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    yield
    devices.cuda_available.cache_clear()
    devices.reduced_precision.cache_clear()


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:0", "mps", "cuda:-1", "", "cuda:1:2"])
def test_an_unknown_device_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}'"):
        devices.resolve_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cuda_available", lambda: False)
    with pytest.raises(ConfigError, match=f"'{name}'"):
        devices.resolve_device(name)


def test_a_gpu_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cuda_available", lambda: True)
    assert [devices.resolve_device(name) for name in ("auto", "cpu", "cuda:1")] == ["cuda", "cpu", "cuda:1"]


def test_torch_is_asked_where_there_is_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(devices, "_GPU_NODES", (str(tmp_path / "none"),))
    assert not devices.cuda_available()
    devices.cuda_available.cache_clear()
    monkeypatch.setattr(devices, "_GPU_NODES", (str(tmp_path / "none"), str(tmp_path)))
    assert devices.cuda_available()


def test_the_precision_is_what_torch_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"
    assert devices.reduced_precision("cpu") == expected
    devices.reduced_precision.cache_clear()
    monkeypatch.setattr(devices, "_CPU_INFO", tmp_path / "none")
    assert devices.reduced_precision("cpu") == expected


@pytest.mark.parametrize(
    ("flags", "expected"), [("fpu avx512_bf16 vme", "bf16"), ("fpu avx512_bf16x", "fp32")]
)
def test_the_flag_is_read_whole(
    flags: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr(devices, "_CPU_INFO", tmp_path / "cpuinfo")
    assert devices.reduced_precision("cpu") == expected
