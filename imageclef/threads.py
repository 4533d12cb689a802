"""How the threads of torch wait for each other; applied by the command line before torch is imported.

By default the threads of OpenMP spin while they wait. Beside one other busy process on two cores that takes
the processor from the thread that is waited for, and training, extraction and search drop to a fraction of
their speed. Threads that sleep while they wait lose little on a quiet machine and much less on a busy one:
`pipelines/bench_threads.py` measures both.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

_PASSIVE = {"OMP_WAIT_POLICY": "passive"}  # torch for Linux comes with libgomp, which reads this when loaded


def wait_passively(environment: MutableMapping[str, str] | None = None) -> None:
    """Let threads of OpenMP sleep while they wait, unless the user's environment says otherwise.

    It has to be called before torch, faiss or scikit-learn is imported. Processes started later inherit it.
    """
    chosen = os.environ if environment is None else environment
    if "GOMP_SPINCOUNT" in chosen:  # libgomp's own setting for the same
        return
    for name, value in _PASSIVE.items():
        chosen.setdefault(name, value)
