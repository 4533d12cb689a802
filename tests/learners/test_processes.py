"""Two processes that share every batch learn what one learns from the whole batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from imageclef.learners.checkpoint import load_tensors
from imageclef.learners.history import HISTORY
from imageclef.learners.processes import average_over_processes
from imageclef.learners.training import CHECKPOINT

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-5
"""Relative, of losses and weights: a mean of two means is rounded otherwise than a mean of all."""

PROGRAM = """
import sys
from pathlib import Path
from torch import distributed
from tests.learners.test_gradient import fitted
folder, rank, n = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
if n > 1:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=n)
fitted(folder, warmup=0.3, schedule="cosine", averaging=0.9, batch_size=int(sys.argv[4]))
if n > 1:
    distributed.barrier()
    distributed.destroy_process_group()
"""


def trained(folder: Path, n: int, batch_size: int = 8) -> list[int]:
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), str(rank), str(n), str(batch_size)],
            env=environment,
            stderr=subprocess.PIPE,
        )
        for rank in range(n)
    ]
    errors = [process.communicate(timeout=120)[1].decode() for process in processes]
    (folder / "errors").write_text("".join(errors))
    return [process.returncode for process in processes]


def test_two_processes_have_the_losses_and_weights_of_one(tmp_path: Path) -> None:
    assert trained(tmp_path / "one", 1) == [0]
    assert trained(tmp_path / "two", 2) == [0, 0]
    histories = [
        [json.loads(line)["error"] for line in (tmp_path / name / HISTORY).read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert len(histories[0]) == 3
    assert histories[1] == pytest.approx(histories[0], rel=TOLERANCE)
    one, two = (load_tensors(tmp_path / name / CHECKPOINT)[0] for name in ("one", "two"))
    for key, tensor in one.items():
        torch.testing.assert_close(two[key], tensor, rtol=TOLERANCE, atol=1e-7)


def test_a_batch_that_cannot_be_shared_is_an_error(tmp_path: Path) -> None:
    assert trained(tmp_path / "two", 2, batch_size=7) == [1, 1]
    assert "batch_size = 7 for 2 processes" in (tmp_path / "two" / "errors").read_text()


def test_one_process_changes_nothing() -> None:
    tensor = torch.tensor([0.1, 3.0])
    average_over_processes([tensor])
    assert torch.equal(tensor, torch.tensor([0.1, 3.0]))
