"""A path that is stopped and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from imageclef.detectors.logistic import LogisticRegression, regularisation_path
from tests.detectors.problems import drawn

CS = [10.0, 0.01, 0.1, 1.0]


class Stopped(Exception):
    pass


def path_of(
    keep: Path | None, progress: Callable[[int], None] | None = None, **changed: object
) -> list[LogisticRegression]:
    features, labels = drawn()
    asked = {"features": features, "labels": labels, "cs": CS, "class_weight": "balanced", **changed}
    return regularisation_path(**asked, cache=keep, progress=progress)  # type: ignore[arg-type]


def assert_same_bytes(models: list[LogisticRegression], others: list[LogisticRegression]) -> None:
    for model, other in zip(models, others, strict=True):
        state = model.state()
        for name, array in other.state().items():
            assert array.dtype == state[name].dtype, name
            assert array.tobytes() == state[name].tobytes(), name


def stop_after(concepts: int) -> Callable[[int], None]:
    seen = 0

    def progress(finished: int) -> None:
        nonlocal seen
        seen += finished
        if seen > concepts:
            raise Stopped("in the middle")

    return progress


def test_a_stopped_path_ends_with_the_bytes_of_one_that_was_not(tmp_path: Path) -> None:
    whole = path_of(None)
    with pytest.raises(Stopped, match="in the middle"):
        path_of(tmp_path, stop_after(8 * 2 + 3))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["c-0.01.safetensors", "c-0.1.safetensors"]
    times = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    counts: list[int] = []
    assert_same_bytes(path_of(tmp_path, counts.append), whole)
    assert counts[:2] == [8, 8]
    assert sum(counts) == 8 * len(CS)
    assert {file: file.stat().st_mtime_ns for file in times} == times
    assert len(list(tmp_path.iterdir())) == 4
    assert_same_bytes(path_of(tmp_path), whole)


def test_a_killed_path_ends_with_the_bytes_of_one_that_was_not(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from tests.detectors.test_fit_cache import path_of, stop_after, Stopped
counter = stop_after(8 * 2 + 3)
def progress(finished):
    try:
        counter(finished)
    except Stopped:
        os.kill(os.getpid(), signal.SIGKILL)
path_of(Path(sys.argv[1]), progress)
"""
    repository = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    ended = subprocess.run(command, cwd=repository, env=environment, timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    seen: list[int] = []
    assert_same_bytes(path_of(tmp_path, seen.append), path_of(None))
    assert seen[:2] == [8, 8]


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str) -> None:
    whole = path_of(tmp_path)
    file = tmp_path / "c-0.1.safetensors"
    content = bytearray(file.read_bytes())
    if damage == "changed":
        content[-20] ^= 1
    file.write_bytes({"cut": content[:-100], "changed": content, "emptied": b""}[damage])
    damaged = file.read_bytes()
    assert_same_bytes(path_of(tmp_path), whole)
    assert file.read_bytes() != damaged
    assert_same_bytes(path_of(tmp_path), whole)


def other_labels() -> sparse.csr_array:
    labels = drawn()[1].toarray()
    labels[[0, 1]] = labels[[1, 0]]
    return sparse.csr_array(labels)


@pytest.mark.parametrize(
    "changed",
    [
        {"features": drawn()[0] * np.float32(2)},
        {"labels": other_labels()},
        {"tolerance": 1e-4},
        {"max_passes": 3},
        {"class_weight": None},
        {"cs": [*CS, 0.02]},
        {"rows": np.arange(399, -1, -1)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_fits_of_another_problem_are_not_taken(tmp_path: Path, changed: dict[str, object]) -> None:
    path_of(tmp_path)
    assert_same_bytes(path_of(tmp_path, **changed), path_of(None, **changed))


def test_a_path_that_goes_further_takes_what_is_there(tmp_path: Path) -> None:
    path_of(tmp_path)
    counts: list[int] = []
    longer = path_of(tmp_path, counts.append, cs=[*CS, 100.0])
    assert counts[:4] == [8, 8, 8, 8]
    assert_same_bytes(longer, path_of(None, cs=[*CS, 100.0]))
