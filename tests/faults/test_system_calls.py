"""Kills and failures at the very calls by which something is put on the disk, or read from it."""

from __future__ import annotations

import random
import signal

import pytest

from tests.faults.ground import Ground, refused_in_one_line
from tests.faults.table import Table
from tests.faults.tracing import CHANGING, Call, calls_on, require_strace, traced

pytestmark = pytest.mark.faults

DISTURBED = (
    "ingest", "train aae", "extract", "import-features", "classify", "knn", "index build", "index add",
    "index remove", "sync", "merge", "ensemble", "report", "duplicates",
)  # fmt: skip
WRITING = ("write", "fsync", "fallocate", "rename")
DECODING = ("ingest", "sync", "report", "duplicates")
"""Commands whose other threads write to their decoders' pipes: the n-th write may be one of those."""
POINTS = 4
"""Calls at which each command is disturbed; renames first, for they publish."""


@pytest.fixture(scope="module", autouse=True)
def strace() -> None:
    require_strace()


@pytest.fixture(scope="module")
def calls(ground: Ground) -> dict[str, list[Call]]:
    """What each command does to the folder that it works in."""
    found = {}
    for name in DISTURBED:
        ground.before(name)
        found[name] = calls_on(ground.trial, ground.launcher, quiet(ground, name), CHANGING)
    return found


@pytest.mark.parametrize("name", DISTURBED)
def test_a_kill_as_something_is_put_on_the_disk(
    name: str, ground: Ground, calls: dict[str, list[Call]], table: Table
) -> None:
    chosen = chosen_of(calls[name], name)
    for call in chosen:
        ground.before(name)
        ended = traced(ground.launcher, quiet(ground, name), call.with_fault("signal=SIGKILL"))
        assert ended.code in (-signal.SIGKILL, 0), ended.said
        if name.startswith("index "):
            ground.index_is_whole(name)
        ground.ends_as_expected(name)
    table.add("SIGKILL at a system call", name, "same bytes as uninterrupted", len(chosen))


@pytest.mark.parametrize("name", DISTURBED)
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_disk_that_fails_as_something_is_written(
    name: str, error: str, ground: Ground, calls: dict[str, list[Call]], table: Table
) -> None:
    kinds = set(WRITING) - ({"write"} if name in DECODING else set())
    writing = [call for call in calls[name] if call.name in kinds]
    chosen = random.Random(name + error).sample(writing, min(2, len(writing)))
    for call in chosen:
        ground.before(name)
        ended = traced(ground.launcher, quiet(ground, name), call.with_fault(f"error={error}"))
        refused_in_one_line(ended, f"{name} at {call}")
        ground.nothing_is_lost(name)
        ground.ends_as_expected(name)
    table.add(f"{error} while writing", name, "one line, exit 1; then as uninterrupted", len(chosen))


def quiet(ground: Ground, name: str) -> list[str]:
    """A command that writes nothing but its result, so that its n-th write is the same each time."""
    return [*ground.commands[name], "--quiet"]


def chosen_of(calls: list[Call], name: str) -> list[Call]:
    """All kinds of call, the renames among them, at random."""
    chance = random.Random(name)
    renames = [call for call in calls if call.name == "rename"]
    others = [call for call in calls if call.name != "rename"]
    first = chance.sample(renames, min(POINTS // 2, len(renames)))
    return first + chance.sample(others, min(POINTS - len(first), len(others)))
