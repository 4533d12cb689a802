"""Classify: logistic regression on the most frequent concepts, thresholds tuned on the official F1, a run."""

from __future__ import annotations

from typing import Any

from imageclef.artifacts import Artifact, Recipe, building, open_artifact, up_to_date
from imageclef.concepts.classifier import Classifier, fit_classifier
from imageclef.config import Config
from imageclef.data.vocabulary import Vocabulary
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled
from imageclef.progress import Reporter, Silent
from imageclef.runs.constant import constant_answer
from imageclef.runs.evaluate import official_f1
from imageclef.runs.runfile import run_name
from imageclef.stages.labelled import labelled, required_concepts
from imageclef.stages.publish import publish_run
from imageclef.stages.report import Report, count_of, shown
from imageclef.workspace import TRAIN, Collection, Workspace


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
    targets = [
        (workspace.collection(name), workspace.features(name)) for name in workspace.answered(collection)
    ]
    artifact = _fitted(workspace, train, features, report, reporter or Silent())
    classifier, window = Classifier.load(artifact.path), config.classify
    runs = []
    for target, rows in targets:
        made_from = {
            "classifier": artifact.digest,
            "features": workspace.artifact("features", target.name).digest,
        }
        run = publish_run(
            workspace,
            target,
            classifier.answers(rows, workspace.edition.max_concepts),
            lambda now: run_name(workspace.run_label, window.top, window.offset, now),
            {
                "features": workspace.features_label,
                "classifier": "logistic regression",
                "top": window.top,
                "offset": window.offset,
                "held_out": artifact.manifest["figures"],
                "made_from": made_from,
            },
            report,
        )
        runs.append(run)
    report.figures["held_out"] = artifact.manifest["figures"]
    return report.done(f"imageclef evaluate {shown(runs[0])} TRUTH" if runs else "")


def _fitted(
    workspace: Workspace, train: Collection, features: FeatureSet, report: Report, reporter: Reporter
) -> Artifact:
    """The classifier's artifact, made now or found up to date."""
    settings = workspace.config.classify
    path = workspace.classifier_path(settings.top, settings.offset)
    recipe = Recipe(
        "classify",
        {
            **settings.model_dump(),
            "split": workspace.config.split.model_dump(),
            "device": workspace.device.type,
        },
        {
            "features": workspace.artifact("features", TRAIN).digest,
            "collection": workspace.artifact("collection", TRAIN).digest,
        },
    )
    if found := up_to_date(path, recipe):
        report.skipped.append(f"{shown(path)}: up to date")
        return found
    vocabulary = Vocabulary.count(required_concepts(train).values()).window(settings.top, settings.offset)
    data = labelled(workspace, train, features, vocabulary)
    cs = settings.cs if settings.c == "auto" else (settings.c,)
    figures: dict[str, Any] = {}
    with building(path, recipe, figures=figures) as folder:
        with reporter.progress("fitting", len(cs) * len(vocabulary), "concepts") as advance:
            fit = fit_classifier(
                features,
                data,
                vocabulary,
                cs,
                settings.rule,
                settings.offset > 0,
                str(workspace.device),
                advance,
            )
        figures |= fit.figures
        figures["score_constant"] = _constant_score(workspace, train, features, data)
        fit.classifier.save(folder)
        fit.table.to_csv(folder / "concepts.csv", index=False)
    report.wrote.append(shown(path))
    return open_artifact(path, "imageclef classify")


def _constant_score(workspace: Workspace, train: Collection, features: FeatureSet, data: Labelled) -> float:
    """What the constant answer of the fitted part scores on the held-out part."""
    concepts = required_concepts(train)

    def lists(part: Labelled) -> dict[str, tuple[str, ...]]:
        return {features.ids[row]: concepts[features.ids[row]] for row in part.rows}

    held = lists(data.tuned)
    return official_f1(dict.fromkeys(held, constant_answer(lists(data.fitted))), held, workspace.edition)
