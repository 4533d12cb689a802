"""Run by test_stored.py in a process of its own: changes an index and is killed at every point.

Every system call of a change that touches the folder is a point. A child process makes the change and ends,
as by a kill, at one point; a write is cut in half. The parent then checks that the folder holds the old index
or the new one, and that the next change works and leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from imageclef.errors import MissingArtifact
from imageclef.retrieval import growth
from imageclef.retrieval.checking import check
from imageclef.retrieval.index import Index

ROWS = np.random.default_rng(0).normal(size=(160, 3)).astype(np.float32)
IDS = [f"i{row}" for row in range(160)]
Held = tuple[tuple[str, ...], bytes, bytes | None]

growth._FEW_BESIDE = 10


def killed_at(point: int) -> None:
    """End the process at the point-th call from now on."""
    left = [point]

    def wrapped(name: str) -> None:
        call = getattr(os, name)

        def ending(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                if name == "write":
                    call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os._exit(9)
            return call(*arguments, **named)

        setattr(os, name, ending)

    for name in ("open", "write", "fsync", "replace", "unlink", "mkdir"):
        wrapped(name)


def held(folder: Path) -> Held | None:
    """Ids, rows and what is attached."""
    try:
        index = Index.load(folder)
    except MissingArtifact:
        return None
    rows = index.vectors(np.arange(len(index)))
    return tuple(index.ids), rows.tobytes(), index.attached("note")


def changed(change: Callable[[Index], None]) -> Callable[[Path], None]:
    def at(folder: Path) -> None:
        with Index.changing(folder) as index:
            change(index)

    return at


def built(n: int, kind: str = "flat") -> Callable[[Path], None]:
    def at(folder: Path) -> None:
        Index.build(ROWS[:n], IDS[:n], "l2", kind=kind).save(folder)

    return at


def with_dead(folder: Path) -> None:
    built(40)(folder)
    changed(lambda index: (index.remove(IDS[:4]), index.add(ROWS[40:45], IDS[40:45])))(folder)


CHANGES: dict[str, tuple[Callable[[Path], None] | None, Callable[[Path], None]]] = {
    "first": (None, built(30)),
    "built over": (with_dead, built(30)),
    "add": (with_dead, changed(lambda index: index.add(ROWS[50:60], IDS[50:60]))),
    "remove": (with_dead, changed(lambda index: index.remove(IDS[10:12]))),
    "replace": (with_dead, changed(lambda index: index.replace(ROWS[50:53], IDS[10:13]))),
    "rewrite": (with_dead, changed(lambda index: index.remove(IDS[10:40]))),
    "attach": (with_dead, changed(lambda index: index.attach("note", b"seen"))),
    "ivf": (built(120, "ivf"), changed(lambda index: index.add(ROWS[120:], IDS[120:]))),
}


def in_child(act: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(3)
        os._exit(0)
    return child


def outcomes_of(name: str, folder: Path) -> dict[str, int]:
    before, change = CHANGES[name]
    old, new = folder / "old", folder / "new"
    if before is not None:
        before(old)
        shutil.copytree(old, new)
    change(new)
    expected = {"old": held(old), "new": held(new)}
    assert expected["old"] != expected["new"], name
    counted = {"old": 0, "new": 0}
    for point in range(1, 1000):
        tried = folder / "tried"
        shutil.rmtree(tried, ignore_errors=True)
        if before is not None:
            shutil.copytree(old, tried)

        def act(point: int = point, tried: Path = tried) -> None:
            killed_at(point)
            change(tried)

        _, status = os.waitpid(in_child(act), 0)
        found = held(tried)
        state = next((state for state in counted if expected[state] == found), None)
        assert state is not None, f"{name}, point {point}: neither the old index nor the new one"
        assert found is None or check(tried) == [], f"{name}, point {point}: {check(tried)}"
        if os.waitstatus_to_exitcode(status) == 0:
            assert state == "new", f"{name}: a change that ended did nothing"
            return counted
        assert os.waitstatus_to_exitcode(status) == 9, f"{name}, point {point}"
        counted[state] += 1
        goes_on(tried, found)
    raise AssertionError(f"{name}: no end")


def goes_on(folder: Path, found: Held | None) -> None:
    """The next change works, and deletes what the kill left behind."""
    if found is None:
        built(5)(folder)
    else:
        changed(lambda index: index.add(ROWS[:1] * 7, ["next"]))(folder)
    assert check(folder) == []
    named = set(json.loads((folder / "index.json").read_text())["files"])
    left = {path.name for path in folder.iterdir()} - named - {"index.json"}
    assert not left, left


def signals(folder: Path) -> dict[str, int]:
    """A process that adds and removes all the time is killed at 20 moments."""
    built(100)(folder)
    rng = np.random.default_rng(1)
    known, whole = held(folder), 0
    assert known is not None

    def act() -> None:
        for number in range(1_000_000):
            with Index.changing(folder) as index:
                name = f"new{os.getpid()}-{number}"
                index.add(ROWS[:20] + number, [f"{name}-{row}" for row in range(20)])
                if number % 3 == 2:
                    index.remove(index.ids[:40])

    for _ in range(20):
        child = in_child(act)
        time.sleep(0.01 + 0.06 * rng.random())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert check(folder) == []
        assert len(Index.load(folder)) % 20 == 0, "all rows of a change are in, or none"
        whole += 1
    assert held(folder) != known, "the processes got nothing done"
    return {"whole": whole}


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if sys.argv[2] == "points":
        print(json.dumps({name: outcomes_of(name, place / name.replace(" ", "-")) for name in CHANGES}))
    else:
        print(json.dumps({"killed": signals(place / "index")}))
