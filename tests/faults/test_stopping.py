"""Ctrl-C and SIGTERM: a stage stops soon, says how to go on, and goes on with the same command."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.faults.ground import Ground
from tests.faults.launcher import Ended
from tests.faults.table import Table

pytestmark = pytest.mark.faults

STAGES = ("ingest", "train aae", "train orb", "train pca", "extract", "classify", "knn", "index build",
          "index add", "sync", "ensemble", "report", "duplicates")  # fmt: skip
SOON = 3.0
"""Seconds on a machine that does other things, too; a second is what is promised."""


def stopped(name: str, number: int, times: int, ground: Ground, chance: random.Random) -> tuple[Ended, float]:
    """Stop a command as a terminal does, with all its children; how it ended, and how long that took."""
    running = ground.launcher.start(ground.commands[name])
    time.sleep(0.02 + ground.seconds[name] * 0.8 * chance.random())
    asked = time.monotonic()
    for _ in range(times):
        if running.pid in ground.launcher.alive:
            os.killpg(running.pid, number)
    return running.wait(), time.monotonic() - asked


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize(
    ("number", "times", "fault"),
    [(signal.SIGINT, 1, "Ctrl-C"), (signal.SIGINT, 2, "Ctrl-C twice"), (signal.SIGTERM, 1, "SIGTERM")],
)
def test_a_stopped_stage_goes_on(
    name: str, number: int, times: int, fault: str, ground: Ground, table: Table
) -> None:
    chance = random.Random(f"{name} {fault}")
    ended = None
    for _ in range(20):
        ground.before(name)
        ended, seconds = stopped(name, number, times, ground, chance)
        if ended.code:
            break
    assert ended is not None
    assert ended.code == 128 + number, ended.said
    assert "stopped; the same command goes on from here" in ended.said
    assert "Traceback" not in ended.said, ended.said
    assert seconds < SOON
    ground.nothing_is_lost(name)
    ground.ends_as_expected(name)
    table.add(fault, name, f"exit {ended.code}; then as uninterrupted")
