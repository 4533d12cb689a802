"""Classify: logistic regression on the most frequent concepts, decided by the rule that does best; a run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from imageclef.config import Config
from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.classifier import Classifier
from imageclef.detectors.fitting import AUTO, Fit, Plan, fit_classifier
from imageclef.detectors.rules import Nearest
from imageclef.detectors.selection import PLAIN
from imageclef.errors import ConfigError
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled
from imageclef.progress import Reporter, Silent
from imageclef.runs.constant import constant_answer
from imageclef.runs.evaluate import official_f1
from imageclef.runs.parts import Part
from imageclef.runs.runfile import run_name
from imageclef.runs.scores import Scores
from imageclef.stages.labelled import labelled, required_concepts
from imageclef.stages.nearest import nearest_images
from imageclef.stages.publish import publish_run
from imageclef.stages.report import Report, count_of, shown
from imageclef.storage.artifacts import Artifact, Recipe, building, open_artifact, up_to_date
from imageclef.workspace import TRAIN, Collection, Workspace

_FITS, _ANSWERS, _SCORES = "fits", "held-out-answers.safetensors", "held-out-scores.safetensors"
_CONCEPTS = "concepts.csv"
_COPIES = "+nearest"


def classify(
    config: Config,
    collection: str | None = None,
    top: int | None = None,
    offset: int | None = None,
    reporter: Reporter | None = None,
    *,
    force: bool = False,
) -> Report:
    """Fit the classifier on the training collection and write a run for every other, or for the one named.

    Args:
        config: the configuration.
        collection: whose run is written.
        top: number of concepts, instead of ``classify.top``.
        offset: rank of the first, instead of ``classify.offset``.
        reporter: told about the progress.
        force: whether it is made again although it is up to date, or was changed after it was written.

    Raises:
        MissingArtifact: features have not been extracted.
        DataError: the training collection has no concepts, or none at this offset.
        ConfigError: a rule that a window of several cannot be decided by.
    """
    workspace, report = Workspace(_asked(config, top, offset)), Report("classify")
    features, train = workspace.features(TRAIN), workspace.collection(TRAIN)
    report.read.append(f"{workspace.features_label} of {TRAIN}: {count_of(len(features), 'row')}")
    targets = [
        (workspace.collection(name), workspace.features(name)) for name in workspace.answered(collection)
    ]
    window = workspace.config.classify
    vocabulary = Vocabulary.count(required_concepts(train).values()).window(window.top, window.offset)
    data = labelled(workspace, train, features, vocabulary)
    artifact = _fitted(workspace, train, features, data, vocabulary, report, reporter or Silent(), force)
    classifier, held_out = Classifier.load(artifact.path), artifact.manifest["figures"]
    held_answers = Scores.read(artifact.path / _ANSWERS).answers(workspace.edition.max_concepts)
    held_part = Part(held_answers, Scores.read(artifact.path / _SCORES))
    runs = []
    for target, rows in targets:
        part = _answers(workspace, classifier, data, target.name, rows)
        about = {
            "features": workspace.features_label,
            "classifier": "logistic regression",
            "top": window.top,
            "offset": window.offset,
            "held_out": held_out,
            "made_from": {
                "classifier": artifact.digest,
                "features": workspace.features_digest(target.name),
            },
        }
        name_at = partial(run_name, workspace.run_label, window.top, window.offset)
        beside = (artifact.path / _CONCEPTS,)
        runs.append(publish_run(workspace, target, part, held_part, name_at, about, report, beside))
    report.figures["held_out"] = held_out
    return report.done(f"imageclef evaluate {shown(runs[0])} TRUTH" if runs else "")


def _asked(config: Config, top: int | None, offset: int | None) -> Config:
    """The configuration with what the command asked for."""
    changes = {key: value for key, value in (("top", top), ("offset", offset)) if value is not None}
    settings = config.classify.model_copy(update=changes)
    if settings.offset and settings.rule not in (AUTO, PLAIN):
        raise ConfigError(
            f"classify.rule = '{settings.rule}' from rank {settings.offset}: a window that will be joined "
            f"with others is decided by one cut; expected '{AUTO}' or '{PLAIN}'"
        )
    return config.model_copy(update={"classify": settings})


def _answers(
    workspace: Workspace, classifier: Classifier, data: Labelled, name: str, features: FeatureSet
) -> Part:
    """The concepts of each image of a collection, and the scores that they come from."""
    nearest = None
    if classifier.asks_for_neighbours:
        nearest = _nearest(workspace, data, workspace.features(name, unit=True))
    answers: dict[str, tuple[str, ...]] = {}
    parts = []
    concepts, most = classifier.vocabulary.concepts, workspace.edition.max_concepts
    for lists, scores in classifier.answers(features, nearest, most):
        ids = features.ids[len(answers) : len(answers) + len(lists)]
        answers.update(zip(ids, lists, strict=True))
        parts.append(Scores.highest(ids, concepts, scores))
    return Part(answers, Scores.joined(parts))


def _fitted(
    workspace: Workspace,
    train: Collection,
    features: FeatureSet,
    data: Labelled,
    vocabulary: Vocabulary,
    report: Report,
    reporter: Reporter,
    force: bool,
) -> Artifact:
    """The classifier's artifact, made now or found up to date."""
    settings = workspace.config.classify
    path = workspace.classifier_path(settings.top, settings.offset)
    about = {
        **settings.model_dump(),
        "split": workspace.config.split.model_dump(),
        "device": workspace.device.type,
    }
    made_from = {
        "features": workspace.features_digest(TRAIN),
        "collection": workspace.artifact("collection", TRAIN).digest,
    }
    recipe = Recipe("classify", about, made_from)
    if not force and (found := up_to_date(path, recipe)):
        report.skipped.append(f"{shown(path)}: up to date")
        return found
    plan = Plan(
        settings.cs if isinstance(settings.c, str) else (settings.c,),
        per_concept=settings.c == "per-concept",
        rule=settings.rule,
        class_weight=settings.class_weight,
        refit=settings.refit,
        joined=settings.offset > 0,
        device=str(workspace.device),
    )
    nearest = None
    if plan.rule.endswith(_COPIES) or (plan.rule == AUTO and not plan.joined):
        unit = workspace.features(TRAIN, unit=True)
        held = FeatureSet([features.ids[row] for row in data.tuned.rows], unit.features[data.tuned.rows])
        nearest = _nearest(workspace, data.fitted, held)
    figures: dict[str, Any] = {}
    # For each strength weights, a position and its gradient are kept to go on from; then the weights chosen.
    needs = 4 * len(vocabulary) * features.n_features * (3 * len(plan.cs) + 1)
    with building(path, recipe, needs=needs, scratch=(_FITS,), force=force, figures=figures) as folder:
        bar = reporter.progress("fitting", len(plan.cs) * len(vocabulary), "concepts")
        with bar as advance:
            fit = fit_classifier(features, data, vocabulary, plan, nearest, advance, folder / _FITS)
        figures |= fit.figures
        figures["score_constant"] = _constant_score(workspace, train, features, data)
        _save(folder, fit, [features.ids[row] for row in data.tuned.rows])
    report.wrote.append(shown(path))
    return open_artifact(path, "imageclef classify")


def _save(folder: Path, fit: Fit, held_ids: list[str]) -> None:
    """Write the classifier and what it answered for the held-out images."""
    fit.classifier.save(folder)
    fit.table.to_csv(folder / _CONCEPTS, index=False)
    concepts = fit.classifier.vocabulary.concepts
    answers = csr_array(fit.trial.answers, dtype=np.float32)
    Scores(held_ids, concepts, answers).write(folder / _ANSWERS)
    Scores.highest(held_ids, concepts, fit.trial.scores).write(folder / _SCORES)


def _nearest(workspace: Workspace, data: Labelled, queries: FeatureSet) -> Nearest:
    """The nearest of some labelled training images to each of some images."""
    trained = workspace.features(TRAIN, unit=True).features
    return nearest_images(trained, data.rows, data.labels, queries.features, str(workspace.device))


def _constant_score(workspace: Workspace, train: Collection, features: FeatureSet, data: Labelled) -> float:
    """What the constant answer of the fitted part scores on the held-out part."""
    concepts = required_concepts(train)

    def lists(part: Labelled) -> dict[str, tuple[str, ...]]:
        return {features.ids[row]: concepts[features.ids[row]] for row in part.rows}

    held = lists(data.tuned)
    return official_f1(dict.fromkeys(held, constant_answer(lists(data.fitted))), held, workspace.edition)
