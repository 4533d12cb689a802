"""Ensemble: which runs to join, and with which weights, found on the held-out images; the joined run.

A run `NAME.csv` is read with what was published beside it: `NAME/held-out.csv`, the answers of the same model
for the held-out training images, and, where they are there, the scores behind both. The joined run gets the
same files, so that it can be joined again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from imageclef.config import Config
from imageclef.data.concept_list import ConceptLists
from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import ConfigError, DataError
from imageclef.progress import Reporter, Silent
from imageclef.runs.editions import Edition
from imageclef.runs.ensemble import Ensemble, Trial, cross_validate, joined_scores, search
from imageclef.runs.evaluate import official_f1
from imageclef.runs.members import Member, answered, as_probabilities
from imageclef.runs.parts import (
    Part,
    all_concepts,
    as_member,
    read_parts,
    same_images,
    write_parts,
)
from imageclef.runs.publishing import publishing, read_facts, require_new_or_ours
from imageclef.runs.runfile import check_run, write_submission_zip
from imageclef.runs.scores import Scores
from imageclef.stages.labelled import required_concepts
from imageclef.stages.publish import score_command
from imageclef.stages.report import Report, count_of, name_some, shown
from imageclef.storage.checksums import file_digest
from imageclef.workspace import TRAIN, Collection, Workspace

_FOLDS = 5


def ensemble(
    config: Config, runs: Sequence[Path], out: Path, reporter: Reporter | None = None, *, force: bool = False
) -> Report:
    """Join runs over the same images with the weights that are best on the held-out images.

    The ensemble is taken if it beats the best single run on folds of the held-out images that neither was
    chosen on; otherwise that single run is written.

    Args:
        config: names the edition, and the concepts and groups of the training collection.
        runs: two or more.
        out: the file to write, `NAME.csv`; `NAME.json` and the folder `NAME` are written beside it.
        reporter: told about the progress.
        force: whether a run of ours at `out` that was changed since may be replaced.

    Raises:
        ConfigError: fewer than two runs, one is given twice, or `out` is one of them or not a `.csv`.
        MissingArtifact: a run has no answers for the held-out images.
        DataError: the runs are not over the same images, or the held-out ones are not of collection train.
    """
    named = _named(runs, out)
    require_new_or_ours(out, runs, force)
    workspace, report = Workspace(config), Report("ensemble", read=[str(run) for run in runs])
    edition, train = workspace.edition, workspace.collection(TRAIN)
    parts = {name: read_parts(path, edition) for name, path in named.items()}
    tests = {name: test for name, (test, _) in parts.items()}
    helds = {name: held for name, (_, held) in parts.items()}
    ids, held_ids = same_images(tests), same_images(helds, "held-out image")
    _check_known(held_ids, train)
    vocabulary = all_concepts(required_concepts(train), [*tests.values(), *helds.values()])
    members = [as_member(name, held_ids, held, vocabulary) for name, held in helds.items()]
    found, trial = _searched(members, held_ids, train, vocabulary, workspace, reporter or Silent())
    if trial.taken:
        limit = edition.max_concepts
        asked = [as_member(name, ids, tests[name], vocabulary) for name in found.weights]
        test = _joined(asked, ids, found, vocabulary, limit)
        held = _joined(members, held_ids, found, vocabulary, limit)
    else:
        test, held = tests[trial.best].over(ids), helds[trial.best].over(held_ids)
    report.notes += _notes(found, trial, tests, out)
    report.figures = {
        "run": out.stem,
        "edition": edition.name,
        "images": len(ids),
        "classifier": "ensemble" if trial.taken else f"the single run {trial.best}",
        **_facts(found, trial, helds, held, required_concepts(train), edition),
        "made_from": {name: file_digest(path) for name, path in named.items()},
    }
    _write(out, test, held, edition, report, force)
    return report.done(_next(workspace, list(runs), out))


def _next(workspace: Workspace, runs: list[Path], out: Path) -> str:
    """The command that scores the joined run, where it is known whose images it answers."""
    name = read_facts(runs[0].with_suffix(".json")).get("collection")
    return score_command(workspace, str(name), out) if name in workspace.config.collections else ""


def _write(out: Path, test: Part, held: Part, edition: Edition, report: Report, force: bool) -> None:
    """The run, checked as the organisers do, and what belongs beside it."""
    with publishing(out, force=force) as hidden:
        write_parts(hidden, test, held, edition)
        check_run(hidden, list(test.answers), edition)
        hidden.with_suffix(".json").write_text(json.dumps(report.figures, indent=2) + "\n", encoding="utf-8")
        if edition.zipped:
            write_submission_zip(hidden, hidden.with_suffix(".zip"))
    report.runs.append(shown(out))
    report.wrote += [shown(out), shown(out.with_suffix(""))]
    report.wrote += [shown(out.with_suffix(".zip"))] if edition.zipped else []


def _named(runs: Sequence[Path], out: Path) -> dict[str, Path]:
    """The runs by the names of their files, or by their paths where two files have one name."""
    if len(runs) < 2:
        raise ConfigError(f"ensemble: {len(runs)} run given, expected two or more")
    if out.suffix != ".csv":
        raise ConfigError(f"ensemble: {out}: expected a name that ends in .csv")
    seen: set[Path] = set()
    for run in runs:
        if run.resolve() in seen:
            raise ConfigError(f"ensemble: {run} is given twice; the search weights the runs itself")
        seen.add(run.resolve())
    if out.resolve() in seen:
        raise ConfigError(f"ensemble: {out} is one of the runs; expected another file to write")
    plain = len({run.stem for run in runs}) == len(runs)
    return {run.stem if plain else str(run): run for run in runs}


def _check_known(held_ids: Sequence[str], train: Collection) -> None:
    truth = required_concepts(train)
    unknown = [image_id for image_id in held_ids if image_id not in truth]
    if unknown:
        raise DataError(
            f"held-out image '{unknown[0]}' has no line in the concept list of collection {TRAIN}; "
            "expected runs that were made from it"
        )
    if not any(truth[image_id] for image_id in held_ids):
        raise DataError(f"none of the {len(held_ids)} held-out images has a concept; expected some to score")


def _searched(
    members: Sequence[Member],
    ids: Sequence[str],
    train: Collection,
    vocabulary: Vocabulary,
    workspace: Workspace,
    reporter: Reporter,
) -> tuple[Ensemble, Trial]:
    """Search on the held-out images that have a concept, and on each four fifths of them."""
    truth = required_concepts(train)
    counted = np.flatnonzero([bool(truth[image_id]) for image_id in ids])
    ids = [ids[row] for row in counted.tolist()]
    labels = vocabulary.labels([truth[image_id] for image_id in ids])
    n_truth = np.array([len(truth[image_id]) for image_id in ids])
    members = [member.take(counted) for member in members]
    with reporter.progress("searching", _FOLDS + 1, "searches") as advance:
        trial = cross_validate(
            members,
            labels,
            n_truth,
            ids,
            train.groups,
            workspace.edition.max_concepts,
            _FOLDS,
            workspace.config.split.seed,
            advance,
        )
        found = search(members, labels, n_truth)
        advance(1)
    return found, trial


def _joined(
    members: Sequence[Member], ids: list[str], found: Ensemble, vocabulary: Vocabulary, limit: int
) -> Part:
    """Answers and scores of the ensemble; only columns with a score are kept."""
    mean = joined_scores(members, found)
    answers = vocabulary.concepts_of(answered(mean, found.cut, limit))
    used = np.unique(mean.indices)
    scores = as_probabilities(mean, list(found.cuts.values()), list(found.weights.values()))[:, used]
    concepts = tuple(vocabulary.concepts[column] for column in used)
    return Part(dict(zip(ids, answers, strict=True)), Scores(ids, concepts, scores))


def _facts(
    found: Ensemble,
    trial: Trial,
    helds: Mapping[str, Part],
    held: Part,
    concepts: ConceptLists,
    edition: Edition,
) -> dict[str, Any]:
    """What was found, as JSON values; scores of answers as published are the organisers'."""
    truth = {image_id: concepts[image_id] for image_id in held.answers}
    return {
        "taken": trial.taken,
        "score_held_out": official_f1(held.answers, truth, edition),
        "members": {
            name: {
                "weight": found.weights.get(name, 0),
                "alone": official_f1(part.answers, truth, edition),
                "alone_one_cut": found.alone[name],
                "adds": found.score - found.without.get(name, found.score),
                "cut": found.cuts.get(name),
            }
            for name, part in helds.items()
        },
        "cut": found.cut,
        "steps": [asdict(step) for step in found.steps],
        "score_found": found.score,
        "cross_validated": {
            "ensemble": trial.ensemble,
            "single": trial.single,
            "gain": trial.ensemble - trial.single,
            "spread": trial.spread,
            "folds": [list(fold) for fold in trial.folds],
        },
    }


def _notes(found: Ensemble, trial: Trial, tests: Mapping[str, Part], out: Path) -> list[str]:
    notes = []
    if not trial.taken:
        notes.append(
            f"the ensemble is no better than a single run on images that neither was chosen on "
            f"({trial.ensemble:.4f} against {trial.single:.4f}): {out.name} is {trial.best}"
        )
    silent = [name for name, part in tests.items() if part.scores is None]
    if silent:
        notes.append(f"without scores, so that only the answers vote: {name_some(silent)}")
    idle = [name for name in tests if name not in found.weights]
    if idle:
        notes.append(f"{count_of(len(idle), 'run')} added nothing: {name_some(idle)}")
    return notes
