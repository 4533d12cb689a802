from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile

import pytest

from imageclef.images import turns as module
from imageclef.images.turns import one_at_a_time, take_turns

INSIDE = """
import sys
from imageclef.images.turns import one_at_a_time, take_turns
class Clock:
    def start(self): print("start", flush=True)
    def stop(self): print("stop", flush=True)
take_turns(int(sys.argv[1]), Clock())
with one_at_a_time():
    sys.stdin.read()
"""


def test_a_process_that_dies_inside_lets_the_next_one_in() -> None:
    with tempfile.TemporaryFile() as turns:
        inside = subprocess.Popen(
            [sys.executable, "-c", INSIDE, str(turns.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[turns.fileno()],
            text=True,
        )
        assert inside.stdout is not None
        assert [inside.stdout.readline() for _ in range(2)] == ["stop\n", "start\n"]
        with pytest.raises(BlockingIOError, match="temporarily unavailable"):
            fcntl.lockf(turns, fcntl.LOCK_EX | fcntl.LOCK_NB)
        inside.kill()
        inside.wait(20)
        fcntl.lockf(turns, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_clock_stands_still_while_others_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_among_processes", None)
    events: list[str] = []

    class Noting:
        def start(self) -> None:
            events.append("start")

        def stop(self) -> None:
            events.append("stop")

    monkeypatch.setattr(fcntl, "lockf", lambda file, how: events.append(f"lock {how}"))
    take_turns(7, Noting())
    with one_at_a_time():
        events.append("inside")
    locked, free = f"lock {fcntl.LOCK_EX}", f"lock {fcntl.LOCK_UN}"
    assert events == ["stop", locked, "start", "inside", free]
