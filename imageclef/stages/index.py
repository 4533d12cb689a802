"""Index: the features of the training collection become a similarity index."""

from __future__ import annotations

from imageclef.artifacts import Recipe, building, up_to_date
from imageclef.config import Config
from imageclef.progress import Reporter
from imageclef.retrieval.index import Index
from imageclef.stages.report import Report, count_of, shown
from imageclef.workspace import TRAIN, Workspace


def index(config: Config, reporter: Reporter | None = None) -> Report:
    """Build the index of the training collection.

    Raises:
        MissingArtifact: its features have not been extracted.
    """
    workspace, report = Workspace(config), Report("index")
    features = workspace.features(TRAIN)
    report.read.append(f"{shown(workspace.features_path(TRAIN))}: {count_of(len(features), 'row')}")
    path = workspace.index_path
    recipe = Recipe("index", config.index.model_dump(), {"features": workspace.artifact("features", TRAIN).digest})
    if up_to_date(path, recipe):
        report.skipped.append(f"{shown(path)}: up to date")
    else:
        with building(path, recipe) as folder:
            Index.build(features.features, features.ids, config.index.metric).save(folder)
        report.wrote.append(shown(path))
    return report.done("imageclef knn   or   imageclef similar IMAGE")
