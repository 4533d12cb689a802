"""Run by test_index_artifact.py in a process of its own: changes an index and is killed at every point.

Every system call of a change that opens, writes, renames or deletes is a point. A child process makes the
change and ends, as by a kill, at one point. The parent then checks that the folder holds the old index or the
new one, whole, and that the next change works and leaves nothing behind.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from imageclef.errors import MissingArtifact
from imageclef.retrieval.index_artifact import open_index
from imageclef.retrieval.index_changes import Change, change_index
from imageclef.storage.artifacts import verify
from tests.retrieval.made import images_of, names, stored

ROWS = np.random.default_rng(0).normal(size=(260, 3)).astype(np.float32)
IDS = names(260)
Held = tuple[tuple[str, ...], bytes] | None
Act = Callable[[Path], object]


def killed_at(point: int) -> None:
    """End the process at the point-th call from now on."""
    left = [point]

    def wrapped(module: Any, name: str) -> None:
        call = getattr(module, name)

        def ending(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
            return call(*arguments, **named)

        setattr(module, name, ending)

    for name in ("open", "write", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir"):
        wrapped(os, name)
    wrapped(io, "open")


def held(folder: Path) -> Held:
    """Ids and rows."""
    try:
        index = open_index(folder).index
    except MissingArtifact:
        return None
    return tuple(one.image_id for one in index.images), index.vectors(np.arange(len(index))).tobytes()


def built(n: int, kind: str = "flat") -> Act:
    return lambda folder: stored(folder, ROWS[:n], IDS[:n], kind=kind)  # type: ignore[arg-type]


def adding(start: int, end: int) -> Act:
    change = Change(features=ROWS[start:end], images=images_of(IDS[start:end]))
    return lambda folder: change_index(folder, lambda _: change)


def removing(n: int) -> Act:
    return lambda folder: change_index(folder, lambda index: Change(keep=np.arange(n, len(index.index))))


CHANGES: dict[str, tuple[Act | None, Act]] = {
    "first": (None, built(30)),
    "built over": (built(40), built(30)),
    "add": (built(40), adding(50, 60)),
    "remove": (built(40), removing(7)),
    "ivf": (built(220, "ivf"), adding(220, 260)),
}


def in_child(act: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def outcomes_of(name: str, folder: Path) -> dict[str, int]:
    before, change = CHANGES[name]
    old, new = folder / "old" / "index", folder / "new" / "index"
    for place in (old, new):
        place.parent.mkdir(parents=True)
        if before is not None:
            before(place)
    change(new)
    expected = {"old": held(old), "new": held(new)}
    assert expected["old"] != expected["new"], name
    counted = {"old": 0, "new": 0}
    for point in range(1, 2000):
        tried = folder / "tried" / "index"
        shutil.rmtree(tried.parent, ignore_errors=True)
        shutil.copytree(old.parent, tried.parent)

        def act(point: int = point, tried: Path = tried) -> None:
            killed_at(point)
            change(tried)

        code = in_child(act)
        found = held(tried)
        state = next((state for state in counted if expected[state] == found), None)
        assert state is not None, f"{name}, point {point}: neither the old index nor the new one"
        assert found is None or verify(tried) == [], f"{name}, point {point}: {verify(tried)}"
        if code == 0:
            assert state == "new", f"{name}: a change that ended did nothing"
            return counted
        assert code == 9, f"{name}, point {point}"
        counted[state] += 1
        (built(5) if found is None else adding(0, 0))(tried)
        change_index(tried, lambda _: Change(features=ROWS[:1] * 7, images=images_of(["next"])))
        assert verify(tried) == [], f"{name}, point {point}: the next change"
        left = {path.name for path in tried.parent.iterdir()} - {"index"}
        assert not left, left
    raise AssertionError(f"{name}: no end")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    print(json.dumps({name: outcomes_of(name, place / name.replace(" ", "-")) for name in CHANGES}))
