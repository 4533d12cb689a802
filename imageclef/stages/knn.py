"""k-NN: concepts by the vote of the nearest training images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.config import Config
from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.thresholds import global_threshold
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled
from imageclef.progress import Reporter, Silent
from imageclef.retrieval.index import Index
from imageclef.retrieval.tuning import tune_votes
from imageclef.retrieval.voting import Choice, Vote, shares, vote
from imageclef.runs.parts import Part
from imageclef.runs.runfile import knn_run_name
from imageclef.runs.scores import Scores
from imageclef.stages.labelled import labelled, required_concepts
from imageclef.stages.publish import found_run, publish_run, run_recipe, score_command
from imageclef.stages.report import Report, count_of, shown
from imageclef.workspace import TRAIN, Workspace


@dataclass(frozen=True)
class _Neighbours:
    """The neighbours of some images.

    Attributes:
        ids: the images.
        rows: of `labels`, (n_images, k), the nearest first.
        distances: as `Index.search` returns them, of the same shape.
        labels: of the images that were searched.
    """

    ids: list[str]
    rows: NDArray[np.int64]
    distances: NDArray[np.float32]
    labels: csr_array


def knn(
    config: Config, collection: str | None = None, reporter: Reporter | None = None, *, force: bool = False
) -> Report:
    """Write a run for every collection but the training one, or for the one named, by its nearest neighbours.

    The vote and k are tuned with the held-out part as queries against the other part; the answers come from
    the whole training collection.

    Args:
        config: the configuration.
        collection: one of them.
        reporter: told about the progress.
        force: whether a run is written although one of the same recipe is there.

    Raises:
        MissingArtifact: the index has not been built, or features have not been extracted.
        DataError: the training collection has no concepts.
    """
    workspace, report = Workspace(config), Report("knn")
    stored = workspace.index()
    stored.require_features(workspace.features_identity, workspace.features_label)
    index = stored.index
    report.read.append(f"{shown(workspace.index_path)}: {count_of(len(index), 'row')}")
    train, features = workspace.collection(TRAIN), workspace.features(TRAIN, unit=True)
    concepts = required_concepts(train)
    vocabulary = Vocabulary.count(concepts.values())
    targets = [
        (workspace.collection(name), workspace.features(name, unit=True))
        for name in workspace.answered(collection)
    ]
    data = labelled(workspace, train, features.ids, vocabulary)
    held = _held_out(workspace, features, data)
    choice = _tuned(workspace, held, data.validation, reporter or Silent())
    figures = {"vote": choice.vote, "k": choice.k, "cut": choice.cut, "score_held_out": choice.score}
    trained = np.array([one.collection == TRAIN for one in index.images])
    labels = vocabulary.labels([concepts.get(one.image_id, ()) for one in index.images])
    held_part = _voted(workspace, choice, held, vocabulary)
    for target, queries in targets:
        made_from = {"index": stored.about.sources, "features": workspace.features_digest(target.name)}
        settings = {"label": workspace.run_label, "metric": config.index.metric, **config.knn.model_dump()}
        settings |= {"split": config.split.model_dump()}
        identity = {
            "index": stored.digest,
            "features": workspace.features_digest(target.name),
            "trained": workspace.features_digest(TRAIN),
            "collection": workspace.artifact("collection", TRAIN).digest_of("concepts.tsv", "groups.csv"),
        }
        recipe = run_recipe(workspace, "knn", target, settings, identity)
        if not force and found_run(workspace, target, recipe, report):
            continue
        distances, rows = index.search(queries.features[slice(None)], choice.k, trained)
        neighbours = _Neighbours(queries.ids, rows, distances, labels)
        about = {
            "features": workspace.features_label,
            "classifier": f"k-NN, {config.index.metric}",
            **figures,
            "made_from": made_from,
        }
        name_at = partial(knn_run_name, workspace.run_label, config.index.metric, "all")
        part = _voted(workspace, choice, neighbours, vocabulary)
        publish_run(workspace, target, part, held_part, name_at, about, report, recipe)
    report.figures["held_out"] = figures
    runs = report.runs
    return report.done(score_command(workspace, targets[0][0].name, Path(runs[0])) if runs else "")


def _voted(workspace: Workspace, choice: Choice, asked: _Neighbours, vocabulary: Vocabulary) -> Part:
    """What the neighbours of some images vote for, and their shares of the vote."""
    metric = workspace.config.index.metric
    voted = vote(choice, asked.rows, asked.distances, metric, asked.labels, workspace.edition.max_concepts)
    answers = dict(zip(asked.ids, vocabulary.concepts_of(voted), strict=True))
    matrix = shares(choice, asked.rows, asked.distances, metric, asked.labels)
    return Part(answers, Scores(asked.ids, vocabulary.concepts, matrix))


def _held_out(workspace: Workspace, features: FeatureSet, data: Labelled) -> _Neighbours:
    """The neighbours of the held-out images in the other part."""
    fitted, tuned, matrix = data.train, data.validation, features.features
    ids = [features.ids[row] for row in fitted.rows]
    index = Index.of(matrix[fitted.rows], ids, workspace.config.index.metric, workspace.device_name)
    distances, rows = index.search(matrix[tuned.rows], max(workspace.config.knn.ks))
    return _Neighbours([features.ids[row] for row in tuned.rows], rows, distances, fitted.labels)


def _tuned(workspace: Workspace, held: _Neighbours, tuned: Labelled, reporter: Reporter) -> Choice:
    """The vote and k that score best for the held-out part."""
    settings = workspace.config.knn
    with reporter.progress("tuning the vote", len(settings.ks), "values of k") as advance:
        return tune_votes(
            held.rows,
            held.distances,
            workspace.config.index.metric,
            held.labels,
            tuned.labels,
            tuned.n_truth,
            settings.ks,
            global_threshold,
            get_args(Vote) if settings.vote == "auto" else (settings.vote,),
            advance,
        )
