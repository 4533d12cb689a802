from __future__ import annotations

import os
import subprocess
import sys

import pytest

from imageclef.threads import wait_passively


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"OMP_WAIT_POLICY": "passive"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
    ],
)
def test_what_the_user_set_stays(before: dict[str, str], after: dict[str, str]) -> None:
    wait_passively(before)
    assert before == after


def test_openmp_sees_it_when_torch_is_imported_by_the_command_line() -> None:
    """libgomp prints its settings when it is loaded, which a command does after they are made."""
    program = (
        "import contextlib, sys\nfrom imageclef.cli import main\nsys.argv = ['imageclef', '--help']\n"
        "with contextlib.suppress(SystemExit): main()\nimport torch"
    )
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "OMP_DISPLAY_ENV": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    if "OMP_WAIT_POLICY" not in done.stderr:
        pytest.skip("torch is built with another OpenMP here")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
