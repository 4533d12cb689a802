"""The public Python API: one function for each stage.

    from imageclef import stages
    from imageclef.config import load_config

    config = load_config()
    stages.ingest(config)
    stages.train(config)

Every function takes the configuration, does its work or finds it up to date, and returns a `Report`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imageclef.stages.checking import check
    from imageclef.stages.classifier import classify
    from imageclef.stages.duplicates import duplicates
    from imageclef.stages.ensembles import ensemble
    from imageclef.stages.exchange import import_features
    from imageclef.stages.features import extract
    from imageclef.stages.findings_out import findings
    from imageclef.stages.images import ingest
    from imageclef.stages.index import index, index_add, index_check, index_info, index_remove
    from imageclef.stages.knn import knn
    from imageclef.stages.learner import train
    from imageclef.stages.reporting import report_runs
    from imageclef.stages.score import evaluate, merge, validate
    from imageclef.stages.serving import serve
    from imageclef.stages.similar import similar
    from imageclef.stages.sync import sync
    from imageclef.stages.walk import demo

__all__ = [
    "check",
    "classify",
    "demo",
    "duplicates",
    "ensemble",
    "evaluate",
    "extract",
    "findings",
    "import_features",
    "index",
    "index_add",
    "index_check",
    "index_info",
    "index_remove",
    "ingest",
    "knn",
    "merge",
    "report_runs",
    "serve",
    "similar",
    "sync",
    "train",
    "validate",
]

_MODULE_OF = {
    "ingest": "images",
    "train": "learner",
    "extract": "features",
    "import_features": "exchange",
    "classify": "classifier",
    "index": "index",
    "index_add": "index",
    "index_remove": "index",
    "index_info": "index",
    "index_check": "index",
    "sync": "sync",
    "duplicates": "duplicates",
    "knn": "knn",
    "similar": "similar",
    "serve": "serving",
    "validate": "score",
    "evaluate": "score",
    "merge": "score",
    "check": "checking",
    "ensemble": "ensembles",
    "findings": "findings_out",
    "report_runs": "reporting",
    "demo": "walk",
}


class _Stages(ModuleType):
    """Imports a stage when it is first asked for: scoring a run needs no torch.

    A stage's module has the name of its function, and importing it would put the module in the function's
    place; hence the lookup here.
    """

    def __getattribute__(self, name: str) -> Any:
        if name not in _MODULE_OF:
            return super().__getattribute__(name)
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


sys.modules[__name__].__class__ = _Stages
