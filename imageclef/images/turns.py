"""Large pictures are decoded one at a time, so that what they take does not grow with the number of workers.

That holds for the threads of a process, and for processes that were given the same file.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Protocol


class Clock(Protocol):
    """What the time of a file is measured with."""

    def start(self) -> None:
        """Begin to count, from nothing."""

    def stop(self) -> None:
        """Count no more."""


_among_threads = Lock()
_among_processes: tuple[int, Clock] | None = None


def take_turns(file: int, clock: Clock) -> None:
    """From now on, wait for other processes too.

    Args:
        file: descriptor of a file that all of them have open; the death of the one that is at it frees it.
        clock: begins anew when the others have been waited for.
    """
    global _among_processes
    _among_processes = file, clock


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """A block that no other thread or process is in."""
    with _among_threads:
        if _among_processes is None:
            yield
            return
        file, clock = _among_processes
        clock.stop()
        fcntl.lockf(file, fcntl.LOCK_EX)
        clock.start()
        try:
            yield
        finally:
            fcntl.lockf(file, fcntl.LOCK_UN)
