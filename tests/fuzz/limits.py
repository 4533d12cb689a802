"""What a reader may take for one input, held by the kernel: native code is not asked."""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

CPU_SECONDS = 2.0
"""Of one input; processor time, so that a busy machine hangs nobody."""

WALL_SECONDS = 30

MOST_MEMORY = 500 << 20
"""That reading one input may map beyond what the process had."""


def limit(fault: TextIO) -> None:
    """Bound memory, have the stack written where the process ends, and warnings nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MOST_MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.freeze()  # a collection would look at all of torch each time
    faulthandler.enable(fault)
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
        faulthandler.register(number, fault, chain=True)


@contextmanager
def timed() -> Iterator[None]:
    """The kernel ends the process when an input takes too long, native code included."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
