"""Publish a run: the file that the organisers accept, a JSON file on how it was made, and its scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imageclef.runs.evaluate import official_f1
from imageclef.runs.parts import Part, write_parts
from imageclef.runs.publishing import damaged, publishing, read_facts, tidy
from imageclef.runs.runfile import check_run, write_submission_zip
from imageclef.stages.report import Report, command, count_of, name_some, shown
from imageclef.storage.artifacts import Recipe
from imageclef.storage.disk import writing_into
from imageclef.storage.locks import held
from imageclef.workspace import Collection, Workspace

_OTHERS = 60.0
"""Seconds to wait for the runs that others are writing."""


def publish_run(
    workspace: Workspace,
    collection: Collection,
    part: Part,
    held_out: Part,
    name_at: Callable[[datetime], str],
    about: Mapping[str, Any],
    report: Report,
    recipe: Recipe,
    beside: Sequence[Path] = (),
) -> Path:
    """Write a run below ``runs/``, check it as the organisers do, score it where the truth is known.

    Args:
        workspace: names the edition and the folder.
        collection: whose ids are answered, in their order.
        part: answers and scores; an image without features is answered with none.
        held_out: the same model's for the held-out training images, by which runs are joined.
        name_at: the run's name at a time.
        about: facts for the JSON file.
        report: gets the path, the notes and the figures.
        recipe: what the run is made from: a run of the same recipe need not be made again.
        beside: further files for the folder beside it.

    Returns:
        The run file.
    """
    edition = workspace.edition
    unanswered = [image_id for image_id in collection.ids if image_id not in part.answers]
    run = {image_id: part.answers.get(image_id, ()) for image_id in collection.ids}
    answered = Part(run, part.scores.over(run) if part.scores else None)
    facts = {"collection": collection.name, "edition": edition.name, "images": len(run), **about}
    if collection.concepts is not None and any(collection.concepts.values()):
        facts["score"] = official_f1(run, collection.concepts, edition)
    with _new_run(workspace.runs_path, name_at) as path, publishing(path) as hidden:
        facts = {"run": path.stem, **facts, "recipe": recipe.digest}
        write_parts(hidden, answered, held_out, edition)
        check_run(hidden, collection.ids, edition)
        for file in beside:
            shutil.copyfile(file, hidden.with_suffix("") / file.name)
        hidden.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        if edition.zipped:
            write_submission_zip(hidden, hidden.with_suffix(".zip"))
    report.runs.append(shown(path))
    report.wrote += [shown(path), *([shown(path.with_suffix(".zip"))] if edition.zipped else [])]
    if unanswered:
        images = count_of(len(unanswered), "image")
        report.notes.append(f"{images} could not be read, answered with no concept: {name_some(unanswered)}")
    report.figures[collection.name] = facts
    return path


def run_recipe(
    workspace: Workspace,
    stage: str,
    target: Collection,
    settings: Mapping[str, Any],
    made_from: Mapping[str, str],
) -> Recipe:
    """What a run is made from: settings, inputs, the edition, and the collection that it answers."""
    about = {**settings, "edition": workspace.edition.name, "collection": target.name}
    answered = workspace.artifact("collection", target.name).digest_of("ids.txt", "concepts.tsv")
    return Recipe(stage, about, {**made_from, "answered": answered})


def found_run(workspace: Workspace, target: Collection, recipe: Recipe, report: Report) -> Path | None:
    """The latest run of a recipe that is as it was published; the report is told, and gets its figures."""
    for facts_path in sorted(workspace.runs_path.glob("*.json"), key=_changed, reverse=True):
        facts = read_facts(facts_path)
        if facts.get("recipe") == recipe.digest and not damaged(facts_path):
            path = facts_path.with_suffix(".csv")
            report.skipped.append(f"{shown(path)}: up to date")
            report.runs.append(shown(path))
            report.figures[target.name] = facts
            return path
    return None


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # somebody has just replaced it
        return 0


def score_command(workspace: Workspace, collection: str, run: Path) -> str:
    """The command that scores a run, or checks it where nobody knows the truth."""
    truth = workspace.config.collection(collection).concepts
    if truth is not None:
        return command("evaluate", run, truth, "--edition", workspace.edition.name)
    ids = workspace.collection_path(collection) / "ids.txt"
    return command("validate", run, "--ids", ids, "--edition", workspace.edition.name)


@contextmanager
def _new_run(folder: Path, name_at: Callable[[datetime], str]) -> Iterator[Path]:
    """The path of a new run, nobody else's: a second one in the same minute is numbered."""
    with writing_into(folder, "a run"):
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder / "run", _OTHERS):
            tidy(folder)
            name = name_at(datetime.now(UTC))
            paths = (folder / f"{name}{suffix}.csv" for suffix in ("", *(f"-{n}" for n in range(2, 1000))))
            yield next(path for path in paths if not path.exists())
