"""The program that decodes, in which names of files are faults: what no harmless file makes a decoder do."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from imageclef.images import worker
from imageclef.images.decode import Decoded

_read = worker._as_wanted


def _faulty(path: Path, request: dict[str, Any]) -> Decoded:
    fault, _, _ = path.name.partition("-")
    if fault.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[fault])
    elif fault == "once" and not path.with_suffix(".seen").exists():
        path.with_suffix(".seen").touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    elif fault == "busy":
        while True:
            pass
    elif fault == "asleep":
        time.sleep(60)
    elif fault == "memory":
        np.ones(2**28)
    elif fault == "loud":
        os.write(1, b"a warning\n")
        os.write(2, b"another\n")
    return _read(path, request)


worker._as_wanted = _faulty
worker.main(*map(int, sys.argv[1:]))
