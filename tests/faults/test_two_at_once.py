"""Several processes on one workspace: one builds, the others wait or are told who does; nothing is mixed."""

from __future__ import annotations

import re
import signal
import time

import pytest

from tests.faults.ground import Ground, content_of, refused_in_one_line
from tests.faults.table import Table

pytestmark = pytest.mark.faults

TOLD = (
    r"is making it; wait until it is done|another process is changing this index|another process has changed"
)
SHARED = ("ingest", "train aae", "train pca", "extract", "import-features", "classify", "knn", "index build",
          "index add", "sync", "ensemble")  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_three_starts_at_once(name: str, ground: Ground, table: Table) -> None:
    ground.before(name)
    all_of_them = [ground.launcher.start(ground.commands[name]) for _ in range(3)]
    ended = [running.wait() for running in all_of_them]
    assert any(one.code == 0 for one in ended), [one.said for one in ended]
    for one in ended:
        if one.code:
            assert re.search(TOLD, refused_in_one_line(one, name)), one.said
    now, expected = ground.content(), ground.expected[name]
    if name == "sync":  # a second one may write the same index again, made from the first one's
        same = {key for key in expected if not re.match(r"artifacts/indexes/.*/manifest\.json", key)}
        assert now.keys() == expected.keys()
        now, expected = ({key: one[key] for key in same} for one in (now, expected))
    assert now == expected
    assert ground.hidden() == []
    told = sum(one.code == 1 for one in ended)
    table.add("three starts at once", name, "same bytes as one alone", 3 - told)
    if told:
        table.add("three starts at once", name, "told who is at it", told)


def test_different_stages_at_once(ground: Ground, table: Table) -> None:
    """What they make is what they make one after the other."""
    names = ("import-features", "classify", "index build", "train pca")
    first = "import-features"
    ground.before(first)
    for name in names:
        assert ground.run(name).code == 0
    expected = ground.content()
    ground.before(first)
    for running in [ground.launcher.start(ground.commands[name]) for name in names]:
        ended = running.wait()
        assert ended.code == 0, ended.said
    assert ground.content() == expected
    table.add("different stages at once", ", ".join(names), "same bytes as one after the other", len(names))


def test_a_holder_that_hangs_is_named_and_a_dead_one_followed(ground: Ground, table: Table) -> None:
    name = "train aae"
    ground.before(name)
    before = content_of(ground.trial)
    holder = ground.launcher.start(ground.commands[name])
    while not list(ground.workspace.glob("learners/.*.partial/checkpoint.safetensors")):
        time.sleep(0.001)
    holder.signal(signal.SIGSTOP)
    said = refused_in_one_line(ground.run(name), name)
    assert re.search(rf"process {holder.pid} on \S+, since \S+, is making it; wait until it is done", said)
    assert ground.content() == before
    holder.signal(signal.SIGKILL)
    assert holder.wait().code == -signal.SIGKILL
    ground.ends_as_expected(name)
    table.add("a holder that hangs", name, "named by its number, host and start")
    table.add("a holder that died", name, "its lock and its work taken over")
