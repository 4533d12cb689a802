"""Classify: logistic regression on the most frequent concepts, thresholds tuned on the official F1, a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.artifacts import Artifact, Recipe, building, open_artifact, up_to_date
from imageclef.concepts.logistic import LogisticRegression, regularisation_path
from imageclef.concepts.metrics import concept_table
from imageclef.concepts.thresholds import (
    apply_thresholds,
    global_threshold,
    limit,
    mean_image_f1,
    per_concept_thresholds,
)
from imageclef.config import Config
from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import DataError
from imageclef.features.feature_set import FeatureSet
from imageclef.learners.checkpoint import load_tensors, save_tensors
from imageclef.progress import Reporter, Silent
from imageclef.runs.constant import constant_answer
from imageclef.runs.evaluate import official_f1
from imageclef.runs.runfile import run_name
from imageclef.stages.publish import publish_run
from imageclef.stages.report import Report, count_of, shown
from imageclef.stages.split import held_out_rows
from imageclef.workspace import TRAIN, Collection, Workspace

_MODEL = "classifier.safetensors"


@dataclass(frozen=True)
class Labelled:
    """The images of the training collection that have features and concepts.

    Attributes:
        rows: of the feature set, (n,).
        held: which of them are held out, (n,).
        labels: of the concepts of the window, (n, n_concepts).
        n_truth: concepts of each image in and outside the window, (n,).
    """

    rows: NDArray[np.int64]
    held: NDArray[np.bool_]
    labels: csr_array
    n_truth: NDArray[np.int64]


@dataclass(frozen=True)
class Classifier:
    """A window of concepts, its linear model, and a threshold for each concept."""

    vocabulary: Vocabulary
    model: LogisticRegression
    thresholds: NDArray[np.float32]

    def answers(self, features: FeatureSet, most: int) -> dict[str, tuple[str, ...]]:
        """At most `most` concepts for each image of a feature set, the least certain dropped first."""
        answers: dict[str, tuple[str, ...]] = {}
        for start in range(0, len(features), _BLOCK):
            scores = self.model.predict_proba(features.features[start : start + _BLOCK])
            predicted = limit(scores, apply_thresholds(scores, self.thresholds), most)
            ids = features.ids[start : start + _BLOCK]
            answers |= zip(ids, self.vocabulary.concepts_of(predicted), strict=True)
        return answers


_BLOCK = 8192


def classify(
    config: Config,
    collection: str | None = None,
    top: int | None = None,
    offset: int | None = None,
    reporter: Reporter | None = None,
) -> Report:
    """Fit the classifier on the training collection and write a run for every other, or for the one named.

    Args:
        config: the configuration.
        collection: whose run is written.
        top: number of concepts, instead of ``classify.top``.
        offset: rank of the first, instead of ``classify.offset``.
        reporter: told about the progress.

    Raises:
        MissingArtifact: features have not been extracted.
        DataError: the training collection has no concepts, or none at this offset.
    """
    changes = {key: value for key, value in (("top", top), ("offset", offset)) if value is not None}
    config = config.model_copy(update={"classify": config.classify.model_copy(update=changes)})
    workspace, report = Workspace(config), Report("classify")
    features, train = workspace.features(TRAIN), workspace.collection(TRAIN)
    report.read.append(f"{shown(workspace.features_path(TRAIN))}: {count_of(len(features), 'row')}")
    names = [(name, workspace.collection(name), workspace.features(name)) for name in workspace.answered(collection)]
    artifact = _fitted(workspace, train, features, report, reporter or Silent())
    classifier = _load(artifact.path)
    about = {
        "features": workspace.features_label,
        "classifier": "logistic regression",
        "top": config.classify.top,
        "offset": config.classify.offset,
        **artifact.manifest["figures"],
        "made_from": {"classifier": artifact.digest},
    }
    for _, answered, rows in names:
        publish_run(
            workspace,
            answered,
            classifier.answers(rows, workspace.edition.max_concepts),
            lambda now: run_name(workspace.run_label, config.classify.top, config.classify.offset, now),
            {**about, "made_from": {**about["made_from"], "features": workspace.artifact("features", answered.name).digest}},
            report,
        )
    report.figures["held_out"] = artifact.manifest["figures"]
    return report.done(f"imageclef evaluate {report.wrote[-1]} TRUTH" if names else "")


def labelled(
    workspace: Workspace, train: Collection, features: FeatureSet, vocabulary: Vocabulary
) -> Labelled:
    """The training images that have both features and concepts.

    Raises:
        DataError: the training collection has no concept list.
    """
    if train.concepts is None:
        raise DataError("collections.train has no concepts; set collections.train.concepts to its concept list")
    known = np.array([image_id in train.concepts for image_id in features.ids], dtype=bool)
    rows = np.flatnonzero(known)
    ids = [features.ids[row] for row in rows]
    lists = [train.concepts[image_id] for image_id in ids]
    held = held_out_rows(workspace, train, features.ids)[rows]
    return Labelled(rows, held, vocabulary.labels(lists), np.array([len(entry) for entry in lists]))


def _fitted(
    workspace: Workspace, train: Collection, features: FeatureSet, report: Report, reporter: Reporter
) -> Artifact:
    """The classifier's artifact, made now or found up to date."""
    settings = workspace.config.classify
    path = workspace.classifier_path(settings.top, settings.offset)
    recipe = Recipe(
        "classify",
        {**settings.model_dump(), "split": workspace.config.split.model_dump(), "edition": workspace.edition.name},
        {
            "features": workspace.artifact("features", TRAIN).digest,
            "collection": workspace.artifact("collection", TRAIN).digest,
        },
    )
    if found := up_to_date(path, recipe):
        report.skipped.append(f"{shown(path)}: up to date")
        return found
    if train.concepts is None:
        raise DataError("collections.train has no concepts; set collections.train.concepts to its concept list")
    vocabulary = Vocabulary.count(train.concepts.values()).window(settings.top, settings.offset)
    data = labelled(workspace, train, features, vocabulary)
    figures: dict[str, Any] = {}
    with building(path, recipe, figures=figures) as folder:
        classifier, found_figures = _fit(workspace, features, data, vocabulary, folder, reporter)
        figures |= found_figures
        figures |= _constant(workspace, train, features, data)
        _save(classifier, folder)
    report.wrote.append(shown(path))
    return open_artifact(path, "imageclef classify")


def _fit(
    workspace: Workspace,
    features: FeatureSet,
    data: Labelled,
    vocabulary: Vocabulary,
    folder: Path,
    reporter: Reporter,
) -> tuple[Classifier, dict[str, Any]]:
    """Take the C that scores best on the held-out part, then the thresholds; write the per-concept table."""
    settings = workspace.config.classify
    cs = tuple(settings.cs) if settings.c == "auto" else (settings.c,)
    held = data.labels[np.flatnonzero(data.held)]
    held_features = np.asarray(features.features[data.rows[data.held]])
    n_truth = data.n_truth[data.held]
    tried = []
    with reporter.progress("fitting", len(cs), "strengths") as advance:
        fits = regularisation_path(
            features.features,
            data.labels[np.flatnonzero(~data.held)],
            cs,
            rows=data.rows[~data.held],
            device=str(workspace.device),
        )
        for c, model in zip(cs, fits, strict=True):
            cut, score = global_threshold(model.predict_proba(held_features), held, n_truth)
            tried.append((score, c, cut, model))
            advance(1)
    score, c, cut, model = max(tried, key=lambda trial: trial[0])
    scores = model.predict_proba(held_features)
    thresholds = np.full(len(vocabulary.concepts), cut, np.float32)
    if settings.rule == "per-concept":
        thresholds = per_concept_thresholds(scores, held, n_truth, cut)
    predicted = apply_thresholds(scores, thresholds)
    table = concept_table(scores, predicted, held)
    table.insert(0, "concept", list(vocabulary.concepts))
    table.insert(1, "threshold", thresholds)
    table.to_csv(folder / "concepts.csv", index=False)
    figures = {
        "rule": settings.rule,
        "c": c,
        "c_tried": {str(trial[1]): trial[0] for trial in tried},
        "threshold": float(cut),
        "concepts": len(vocabulary.concepts),
        "n_fitted": int((~data.held).sum()),
        "n_held_out": int(data.held.sum()),
        "passes": int(model.report.passes),
        "not_converged": int((~model.report.converged).sum()),
        "score_held_out_global": score,
        "score_held_out": mean_image_f1(predicted, held, n_truth),
    }
    return Classifier(vocabulary, model, thresholds), figures


def _constant(workspace: Workspace, train: Collection, features: FeatureSet, data: Labelled) -> dict[str, float]:
    """What the constant answer of the fitted part scores on the held-out part."""
    assert train.concepts is not None
    ids = np.array(features.ids, dtype=object)[data.rows]
    fitted = {image_id: train.concepts[image_id] for image_id in ids[~data.held]}
    held = {image_id: train.concepts[image_id] for image_id in ids[data.held]}
    answer = constant_answer(fitted)
    return {"score_held_out_constant": official_f1(dict.fromkeys(held, answer), held, workspace.edition)}


def _save(classifier: Classifier, folder: Path) -> None:
    state = {name: torch.from_numpy(array) for name, array in classifier.model.state().items()}
    save_tensors(folder / _MODEL, {**state, "thresholds": torch.from_numpy(classifier.thresholds)}, {})
    classifier.vocabulary.write(folder / "vocabulary.tsv")


def _load(folder: Path) -> Classifier:
    tensors, _ = load_tensors(folder / _MODEL)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    thresholds = arrays.pop("thresholds")
    return Classifier(Vocabulary.read(folder / "vocabulary.tsv"), LogisticRegression.from_state(arrays), thresholds)
