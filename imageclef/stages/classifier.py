"""Classify: a detector of the most frequent concepts, decided by the rule that does best; a run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from imageclef.config import Config
from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.base import Source
from imageclef.detectors.classifier import Classifier
from imageclef.detectors.fitting import AUTO, Fit, fit_classifier
from imageclef.detectors.rules import Nearest
from imageclef.detectors.selection import PLAIN
from imageclef.detectors.table import DETECTORS, choose
from imageclef.detectors.task import Rows, Task
from imageclef.errors import ConfigError
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled
from imageclef.progress import Reporter, Silent
from imageclef.retrieval.index import Index
from imageclef.runs.constant import constant_answer
from imageclef.runs.evaluate import official_f1
from imageclef.runs.parts import Part
from imageclef.runs.runfile import run_name
from imageclef.runs.scores import Scores
from imageclef.settings import Settings
from imageclef.stages.labelled import labelled, required_concepts, rows_read
from imageclef.stages.publish import found_run, publish_run, run_recipe, score_command
from imageclef.stages.report import Report, count_of, shown
from imageclef.storage.artifacts import Artifact, Recipe, building, open_artifact, up_to_date
from imageclef.storage.checksums import file_digest
from imageclef.workspace import TRAIN, Workspace

_CACHE, _ANSWERS, _SCORES = "fits", "held-out-answers.safetensors", "held-out-scores.safetensors"
_CONCEPTS = "concepts.csv"
_COPIES = "+nearest"
_SHOWN = {"linear": "logistic regression"}
_MADE_FROM: dict[Source, str] = {"features": "features", "pixels": "store", "ids": "collection"}


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
    name, own = choose(workspace.config.detector)
    reads = DETECTORS[name].reads
    (rows, digest), train = rows_read(workspace, TRAIN, reads), workspace.collection(TRAIN)
    report.read.append(f"{workspace.features_label} of {TRAIN}: {count_of(len(rows), 'row')}")
    targets = [
        (workspace.collection(target), *rows_read(workspace, target, reads))
        for target in workspace.answered(collection)
    ]
    window = workspace.config.classify
    vocabulary = Vocabulary.count(required_concepts(train).values()).window(window.top, window.offset)
    task = Task(
        rows,
        labelled(workspace, train, rows.ids, vocabulary),
        vocabulary,
        window,
        own,
        workspace.device_name,
        reporter=reporter or Silent(),
    )
    artifact = _fitted(workspace, name, task, digest, report, force)
    held_out = artifact.manifest["figures"]
    classifier: Classifier | None = None
    runs = []
    for target, asked, source in targets:
        made_from = {"classifier": artifact.digest, _MADE_FROM[reads]: source}
        recipe = run_recipe(workspace, "classify", target, {"label": workspace.detector_run_label}, made_from)
        if not force and (earlier := found_run(workspace, target, recipe, report)):
            runs.append(earlier)
            continue
        classifier = classifier or Classifier.load(artifact.path)
        part = _answers(workspace, classifier, task.data, target.name, asked)
        about = {
            "features": workspace.features_label,
            "classifier": _SHOWN.get(name, name),
            "top": window.top,
            "offset": window.offset,
            "held_out": held_out,
            "made_from": made_from,
        }
        name_at = partial(run_name, workspace.detector_run_label, window.top, window.offset)
        beside = (artifact.path / _CONCEPTS,)
        held_part = _held_part(workspace, artifact)
        runs.append(publish_run(workspace, target, part, held_part, name_at, about, report, recipe, beside))
    report.figures["held_out"] = held_out
    return report.done(score_command(workspace, targets[0][0].name, runs[0]) if runs else "")


def _asked(config: Config, top: int | None, offset: int | None) -> Config:
    """The configuration with what the command asked for."""
    changes = {key: value for key, value in (("top", top), ("offset", offset)) if value is not None}
    settings = config.classify.model_copy(update=changes)
    if settings.offset and settings.rule not in (AUTO, PLAIN):
        raise ConfigError(
            f"classify.rule = '{settings.rule}' from rank {settings.offset}: a window that will be joined "
            f"with others is decided by one cut; expected '{AUTO}' or '{PLAIN}'"
        )
    name, _ = choose(config.detector)
    if settings.rule.endswith(_COPIES) and DETECTORS[name].reads != "features":
        raise ConfigError(
            f"classify.rule = '{settings.rule}': the detector '{name}' reads no features by which an image "
            f"has a nearest one; expected '{AUTO}' or a rule without {_COPIES}"
        )
    return config.model_copy(update={"classify": settings})


def _answers(workspace: Workspace, classifier: Classifier, data: Labelled, name: str, rows: Rows) -> Part:
    """The concepts of each image of a collection, and the scores that they come from."""
    nearest = None
    if classifier.asks_for_neighbours:
        nearest = _nearest(workspace, data, workspace.features(name, unit=True))
    answers: dict[str, tuple[str, ...]] = {}
    parts = []
    concepts, most = classifier.vocabulary.concepts, workspace.edition.max_concepts
    for lists, scores in classifier.answers(rows, nearest, most):
        ids = rows.ids[len(answers) : len(answers) + len(lists)]
        answers.update(zip(ids, lists, strict=True))
        parts.append(Scores.highest(ids, concepts, scores))
    return Part(answers, Scores.joined(parts))


def _held_part(workspace: Workspace, artifact: Artifact) -> Part:
    """What the classifier answered for the validation images, and its scores."""
    answers = Scores.read(artifact.path / _ANSWERS).answers(workspace.edition.max_concepts)
    return Part(answers, Scores.read(artifact.path / _SCORES))


def _fitted(
    workspace: Workspace, name: str, task: Task, digest: str, report: Report, force: bool
) -> Artifact:
    """The classifier's artifact, made now or found up to date."""
    settings, config = task.classify, workspace.config
    path = workspace.classifier_path(settings.top, settings.offset)
    about = {
        **settings.model_dump(),
        "detector": {"name": name, **_by_content(task.settings)},
        "split": config.split.model_dump(),
        "edition": workspace.edition.name,
        "device": workspace.device_type,
    }
    collection = workspace.artifact("collection", TRAIN)
    listed = collection.digest_of("ids.txt", "concepts.tsv", "groups.csv")
    kind = DETECTORS[name]
    recipe = Recipe("classify", about, {_MADE_FROM[kind.reads]: digest, "collection": listed})
    if not force and (found := up_to_date(path, recipe)):
        report.skipped.append(f"{shown(path)}: up to date")
        return found
    nearest = None if kind.reads != "features" else _nearest_of_validation(workspace, task)
    figures: dict[str, Any] = {}
    needs = kind.disk_needs(task)
    with building(path, recipe, needs=needs, scratch=(_CACHE,), force=force, figures=figures) as folder:
        fit = fit_classifier(name, replace(task, cache=folder / _CACHE), nearest)
        figures |= fit.metrics
        figures["score_constant"] = _constant_score(workspace, task)
        _save(folder, fit, [task.rows.ids[row] for row in task.data.validation.rows])
    report.wrote.append(shown(path))
    return open_artifact(path, "imageclef classify")


def _by_content(settings: Settings) -> dict[str, Any]:
    """The settings of a detector, with the digest of a file instead of its path."""
    named = settings.model_dump()
    return {key: file_digest(value) if isinstance(value, Path) else value for key, value in named.items()}


def _nearest_of_validation(workspace: Workspace, task: Task) -> Nearest | None:
    """The nearest training image of each validation image; None where no rule to be tried may copy it."""
    rule = task.classify.rule
    if not (rule.endswith(_COPIES) or (rule == AUTO and not task.joined)):
        return None
    unit, rows = workspace.features(TRAIN, unit=True), task.data.validation.rows
    asked = FeatureSet([unit.ids[row] for row in rows.tolist()], unit.features[rows])
    return _nearest(workspace, task.data.train, asked)


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
    ids = [str(row) for row in data.rows]
    index = Index.of(trained[data.rows], ids, "cosine", workspace.device_name)
    similarity, found = index.search(queries.features[slice(None)], 1)
    return Nearest(data.labels[found[:, 0]], similarity[:, 0])


def _constant_score(workspace: Workspace, task: Task) -> float:
    """What the constant answer of the training part scores on the validation part."""
    concepts, ids = required_concepts(workspace.collection(TRAIN)), task.rows.ids

    def lists(part: Labelled) -> dict[str, tuple[str, ...]]:
        return {ids[row]: concepts[ids[row]] for row in part.rows}

    held = lists(task.data.validation)
    return official_f1(dict.fromkeys(held, constant_answer(lists(task.data.train))), held, workspace.edition)
