"""SIGKILL at any moment, then the same command again: the same bytes as if nothing had happened."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.faults.ground import Ground
from tests.faults.table import Table

pytestmark = pytest.mark.faults

IN_A_ROW = 3
KILLS = {
    "ingest": 18, "ingest for faae": 3, "ingest for orb": 3, "ingest for pca": 3, "ingest for pixels": 3,
    "train aae": 18, "train faae": 12, "train orb": 9, "train pca": 9, "train pixels": 6,
    "extract": 15, "import-features": 9, "classify": 18, "knn": 12,
    "index build": 9, "index add": 24, "index remove": 9, "sync": 12,
    "merge": 6, "ensemble": 9, "report": 6, "duplicates": 9,
}  # fmt: skip
"""How often each command is killed; a command that ended before its kill does not count."""


def test_there_are_more_than_200_of_them(ground: Ground) -> None:
    assert set(KILLS) == set(ground.commands)
    assert sum(KILLS.values()) >= 200
    assert KILLS["index add"] >= 20


@pytest.mark.parametrize("name", KILLS)
def test_a_killed_command_ends_as_if_it_had_not_been(name: str, ground: Ground, table: Table) -> None:
    moments = random.Random(name)
    killed = tries = 0
    while killed < KILLS[name]:
        ground.before(name)
        for _ in range(IN_A_ROW):
            tries += 1
            assert tries < 20 * KILLS[name], f"{name} ends before it can be killed"
            if kill_at_random(name, ground, moments):
                killed += 1
            if name.startswith("index "):
                ground.index_is_whole(name)
        ground.ends_as_expected(name)
    table.add("SIGKILL at a random moment", name, "same bytes as uninterrupted", killed)


def kill_at_random(name: str, ground: Ground, moments: random.Random) -> bool:
    """Start a command and kill it; False if it was faster."""
    running = ground.launcher.start(ground.commands[name])
    time.sleep(ground.seconds[name] * moments.random())
    running.signal(signal.SIGKILL)
    return running.wait().code == -signal.SIGKILL
