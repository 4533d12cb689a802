"""The public Python API: one function for each stage.

    from imageclef.config import load_config
    from imageclef import stages

    config = load_config()
    stages.ingest(config)
    stages.train(config)

Every function takes the configuration, does its work or finds it up to date, and returns a `Report`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULE_OF = {
    "ingest": "ingest",
    "train": "train",
    "extract": "extract",
    "classify": "classify",
    "index": "index",
    "knn": "knn",
    "similar": "similar",
    "validate": "score",
    "evaluate": "score",
    "merge": "score",
    "demo": "demo",
}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 (a plain list of the names above)


def __getattr__(name: str) -> Any:
    """Import a stage when it is first asked for: scoring a run needs no torch."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
