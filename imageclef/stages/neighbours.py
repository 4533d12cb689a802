"""Index and k-NN: concepts by the vote of the nearest training images."""

from __future__ import annotations

from typing import get_args

import numpy as np

from imageclef.artifacts import Recipe, building, up_to_date
from imageclef.concepts.thresholds import global_threshold
from imageclef.config import Config
from imageclef.data.vocabulary import Vocabulary
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled
from imageclef.progress import Reporter, Silent
from imageclef.retrieval.index import Index
from imageclef.retrieval.tuning import tune_votes
from imageclef.retrieval.voting import Choice, Vote, vote
from imageclef.runs.runfile import knn_run_name
from imageclef.stages.labelled import labelled, required_concepts
from imageclef.stages.publish import publish_run
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
    made_from = {"features": workspace.artifact("features", TRAIN).digest}
    recipe = Recipe("index", config.index.model_dump(), made_from)
    if up_to_date(path, recipe):
        report.skipped.append(f"{shown(path)}: up to date")
    else:
        bar = (reporter or Silent()).progress("indexing", len(features), "rows")
        with building(path, recipe) as folder, bar as advance:
            built = Index.build(features.features, features.ids, config.index.metric, progress=advance)
            built.save(folder)
        report.wrote.append(shown(path))
    return report.done("imageclef knn   or   imageclef similar IMAGE")


def knn(config: Config, collection: str | None = None, reporter: Reporter | None = None) -> Report:
    """Write a run for every collection but the training one, or for the one named, by its nearest neighbours.

    The vote and k are tuned with the held-out part as queries against the other part; the answers come from
    the whole training collection.

    Raises:
        MissingArtifact: the index has not been built, or features have not been extracted.
        DataError: the training collection has no concepts.
    """
    workspace, report = Workspace(config), Report("knn")
    index = Index.load(workspace.artifact("index").path, str(workspace.device))
    report.read.append(f"{shown(workspace.index_path)}: {count_of(len(index), 'row')}")
    train, features = workspace.collection(TRAIN), workspace.features(TRAIN)
    concepts = required_concepts(train)
    vocabulary = Vocabulary.count(concepts.values())
    targets = [
        (workspace.collection(name), workspace.features(name)) for name in workspace.answered(collection)
    ]
    choice = _tuned(
        workspace, features, labelled(workspace, train, features, vocabulary), reporter or Silent()
    )
    figures = {"vote": choice.vote, "k": choice.k, "cut": choice.cut, "score_held_out": choice.score}
    labels = vocabulary.labels([concepts.get(image_id, ()) for image_id in index.ids])
    for target, queries in targets:
        distances, rows = index.search(queries.features, choice.k)
        voted = vote(choice, rows, distances, config.index.metric, labels, workspace.edition.max_concepts)
        made_from = {
            "index": workspace.artifact("index").digest,
            "features": workspace.artifact("features", target.name).digest,
        }
        publish_run(
            workspace,
            target,
            dict(zip(queries.ids, vocabulary.concepts_of(voted), strict=True)),
            lambda now: knn_run_name(workspace.run_label, config.index.metric, "all", now),
            {
                "features": workspace.features_label,
                "classifier": f"k-NN, {config.index.metric}",
                **figures,
                "made_from": made_from,
            },
            report,
        )
    report.figures["held_out"] = figures
    return report.done(f"imageclef evaluate {report.wrote[0]} TRUTH" if targets else "")


def _tuned(workspace: Workspace, features: FeatureSet, data: Labelled, reporter: Reporter) -> Choice:
    """The vote and k that score best for the held-out part, whose neighbours are sought in the other part."""
    settings, metric = workspace.config.knn, workspace.config.index.metric
    fitted, tuned, matrix = data.fitted, data.tuned, features.features
    ids = [features.ids[row] for row in fitted.rows]
    index = Index.build(np.asarray(matrix[fitted.rows]), ids, metric, str(workspace.device))
    distances, rows = index.search(np.asarray(matrix[tuned.rows]), max(settings.ks))
    with reporter.progress("tuning the vote", len(settings.ks), "values of k") as advance:
        return tune_votes(
            rows,
            distances,
            metric,
            fitted.labels,
            tuned.labels,
            tuned.n_truth,
            settings.ks,
            global_threshold,
            get_args(Vote) if settings.vote == "auto" else (settings.vote,),
            advance,
        )
