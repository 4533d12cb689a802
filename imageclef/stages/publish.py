"""Publish a run: the file that the organisers accept, a JSON file on how it was made, and its scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imageclef.runs.evaluate import official_f1
from imageclef.runs.parts import Part, write_parts
from imageclef.runs.runfile import check_run, write_submission_zip
from imageclef.stages.report import Report, count_of, name_some, shown
from imageclef.workspace import Collection, Workspace


def publish_run(
    workspace: Workspace,
    collection: Collection,
    part: Part,
    held_out: Part,
    name_at: Callable[[datetime], str],
    about: Mapping[str, Any],
    report: Report,
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

    Returns:
        The run file.
    """
    edition = workspace.edition
    unanswered = [image_id for image_id in collection.ids if image_id not in part.answers]
    run = {image_id: part.answers.get(image_id, ()) for image_id in collection.ids}
    path = _free_path(workspace.runs_path, name_at(datetime.now(UTC)))
    write_parts(path, Part(run, part.scores.over(run) if part.scores else None), held_out, edition)
    check_run(path, collection.ids, edition)
    facts = {
        "run": path.stem,
        "collection": collection.name,
        "edition": edition.name,
        "images": len(run),
        **about,
    }
    if collection.concepts is not None and any(collection.concepts.values()):
        facts["score"] = official_f1(run, collection.concepts, edition)
    path.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    report.wrote.append(shown(path))
    if edition.zipped:
        write_submission_zip(path, path.with_suffix(".zip"))
        report.wrote.append(shown(path.with_suffix(".zip")))
    if unanswered:
        images = count_of(len(unanswered), "image")
        report.notes.append(f"{images} could not be read, answered with no concept: {name_some(unanswered)}")
    report.figures[collection.name] = facts
    return path


def _free_path(folder: Path, name: str) -> Path:
    """The path of a new run: a second one in the same minute is numbered."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = (folder / f"{name}{suffix}.csv" for suffix in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(path for path in paths if not path.exists())
