"""k-NN: the concepts of the nearest training images, voted; the vote and k tuned on the held-out part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageclef.concepts.thresholds import global_threshold
from imageclef.config import Config
from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import DataError
from imageclef.features.feature_set import FeatureSet
from imageclef.progress import Reporter
from imageclef.retrieval.index import Index
from imageclef.retrieval.voting import Choice, tune_votes, vote
from imageclef.runs.runfile import knn_run_name
from imageclef.stages.classify import Labelled, labelled
from imageclef.stages.publish import publish_run
from imageclef.stages.report import Report, count_of, shown
from imageclef.workspace import TRAIN, Collection, Workspace

Matrix = NDArray[np.float32]


def knn(config: Config, collection: str | None = None, reporter: Reporter | None = None) -> Report:
    """Write a run for every collection but the training one, or for the one named, by its nearest neighbours.

    The vote and k are tuned with the held-out part as queries against the other part; the answers come from
    the whole training collection.

    Raises:
        MissingArtifact: the index has not been built.
        DataError: the training collection has no concepts.
    """
    workspace, report = Workspace(config), Report("knn")
    index = Index.load(workspace.artifact("index").path)
    train, features = workspace.collection(TRAIN), workspace.features(TRAIN)
    report.read.append(f"{shown(workspace.index_path)}: {count_of(len(index.ids), 'row')}")
    targets = [(workspace.collection(name), workspace.features(name)) for name in workspace.answered(collection)]
    if train.concepts is None:
        raise DataError("collections.train has no concepts; set collections.train.concepts to its concept list")
    vocabulary = Vocabulary.count(train.concepts.values())
    data = labelled(workspace, train, features, vocabulary)
    choice = _tuned(workspace, features, data)
    figures = {"vote": choice.vote, "k": choice.k, "cut": choice.cut, "score_held_out": choice.score}
    for target, queries in targets:
        about = {
            "features": workspace.features_label,
            "classifier": f"k-NN, {config.index.metric}",
            **figures,
            "made_from": {
                "index": workspace.artifact("index").digest,
                "features": workspace.artifact("features", target.name).digest,
            },
        }
        answers = _answers(workspace, index, queries, train, vocabulary, choice)
        publish_run(
            workspace,
            target,
            answers,
            lambda now: knn_run_name(workspace.run_label, config.index.metric, "all", now),
            about,
            report,
        )
    report.figures["held_out"] = figures
    return report.done(f"imageclef evaluate {report.wrote[-1]} TRUTH" if targets else "")
