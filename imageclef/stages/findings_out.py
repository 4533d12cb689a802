"""Findings: what a run says of each image goes back to where the images are from.

As DICOM Structured Reports, one for each image of a collection that is DICOM; or as JSON lines, for images of
any kind. The folder is an artifact: it appears whole, and is made again only where the run, or the images,
have changed.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

from imageclef.config import Config
from imageclef.data.concept_list import ConceptLists
from imageclef.data.concept_names import read_concept_names
from imageclef.errors import ConfigError, DataError
from imageclef.images.dicom.recognition import file_and_frame, holds_dicom
from imageclef.progress import Advance, Reporter, Silent
from imageclef.reporting.beside import CONCEPTS_NAME, FACTS_SUFFIX, Beside, read_beside
from imageclef.runs.findings import Finding, Model, write_json_lines
from imageclef.runs.runfile import read_run
from imageclef.runs.scores import SCORES
from imageclef.stages.report import Report, count_of, name_some, shown
from imageclef.storage.artifacts import Recipe, building, up_to_date
from imageclef.storage.checksums import file_digest
from imageclef.storage.ownership import require_not_input, require_replaceable
from imageclef.workspace import Workspace

Form = Literal["sr", "jsonl"]

_LINES, _LEFT_OUT = "findings.jsonl", "left-out.csv"


@dataclass(frozen=True)
class _Said:
    """What a run says.

    Attributes:
        answers: concepts of each image.
        beside: scores and thresholds, where they are known.
        names: of concepts.
        model: what made the run.
    """

    answers: ConceptLists
    beside: Beside
    names: Mapping[str, str]
    model: Model

    def findings(self) -> Iterator[tuple[str, list[Finding]]]:
        """Each image with its findings."""
        scores = self.beside.scores
        column = {concept: place for place, concept in enumerate(scores.concepts)} if scores else {}
        for row, (image_id, concepts) in enumerate(self.answers.items()):
            found = []
            for concept in concepts:
                place = column.get(concept.upper())
                score = float(scores.matrix[row, place]) if scores and place is not None else 0.0
                cut = self.beside.threshold_of(concept.upper())
                # A score of 0 is one that was not kept: the concept came from elsewhere.
                found.append(Finding(concept, score or None, self.names.get(concept, ""), cut))
            yield image_id, found


def findings(
    config: Config,
    run: Path,
    out: Path,
    form: Form = "sr",
    collection: str | None = None,
    concept_names: Path | None = None,
    reporter: Reporter | None = None,
    *,
    force: bool = False,
) -> Report:
    """Write what a run says, for others.

    Args:
        config: the configuration.
        run: the run file; what stands beside it says how certain it is, and what made it.
        out: the folder to make.
        form: Structured Reports, or JSON lines.
        collection: whose images the run answers; by default what the file beside the run says.
        concept_names: a table of the task, or MRCONSO.RRF; by default concepts are named by their CUIs.
        reporter: told about the progress.
        force: whether a folder of ours that was changed since may be replaced.

    Raises:
        RunRefused: the run breaks the edition's rules.
        ConfigError: an unknown form, it is not known of which collection the run is.
        ArtifactError: `out` is an input, or a folder that we did not make.
        DataError: a file cannot be read, or there is no DICOM file among the images.
        MissingArtifact: the collection has not been ingested.
    """
    if form not in get_args(Form):
        raise ConfigError(f"findings: form '{form}'; expected {' or '.join(get_args(Form))}")
    workspace, report = Workspace(config), Report("findings", read=[str(run)])
    said = _read(run, workspace, concept_names)
    images = _dicom_images(workspace, run, said, collection, report) if form == "sr" else {}
    require_not_input(out, [run])
    require_replaceable(out, "findings", force)
    listed = hashlib.sha256(json.dumps(images).encode()).hexdigest()
    recipe = Recipe("findings", {"form": form, **said.model.as_json()}, _inputs(run, concept_names, listed))
    if not force and up_to_date(out, recipe):
        report.skipped.append(f"{shown(out)}: up to date")
    else:
        with building(out, recipe, force=force) as folder:
            if form == "jsonl":
                write_json_lines(folder / _LINES, said.findings(), said.model)
            else:
                with (reporter or Silent()).progress("reports", len(images), "images") as advance:
                    _write_reports(folder, said, images, advance)
        report.wrote.append(shown(out))
    _count(out, said, form, report)
    return report.done()


def _read(run: Path, workspace: Workspace, concept_names: Path | None) -> _Said:
    answers = read_run(run, workspace.edition)
    beside = read_beside(run, list(answers), [()] * len(answers))
    wanted = {concept for concepts in answers.values() for concept in concepts}
    names = {} if concept_names is None else read_concept_names(concept_names, wanted)
    name, made = str(beside.facts.get("run", run.stem)), datetime.fromtimestamp(int(run.stat().st_mtime), UTC)
    model = Model(name, version("imageclef"), _digest(run, beside.facts), made)
    return _Said(answers, beside, names, model)


def _digest(run: Path, facts: Mapping[str, Any]) -> str:
    """Of the classifier; of a run by other means, of all that it was made from; of a bare run, its own."""
    made_from = facts.get("made_from")
    if not isinstance(made_from, dict) or not made_from:
        return file_digest(run)
    if classifier := made_from.get("classifier"):
        return str(classifier)
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def _inputs(run: Path, concept_names: Path | None, images: str) -> dict[str, str]:
    """A digest of everything that is read; `images` is that of their paths."""
    beside = run.with_suffix("")
    files = {
        "run": run,
        "facts": run.with_suffix(FACTS_SUFFIX),
        "scores": beside / SCORES,
        "thresholds": beside / CONCEPTS_NAME,
        "concept_names": concept_names,
    }
    there = {key: path for key, path in files.items() if path is not None and path.is_file()}
    return {"images": images, **{key: file_digest(path) for key, path in there.items()}}


def _dicom_images(
    workspace: Workspace, run: Path, said: _Said, collection: str | None, report: Report
) -> dict[str, str]:
    """The path of each image of the run that is in a DICOM file."""
    name = collection or said.beside.facts.get("collection")
    if name is None:
        raise ConfigError(f"{run}: nothing says whose images it answers; expected --collection NAME")
    folder, store = workspace.config.collection(str(name)).images, workspace.store(str(name))
    report.read.append(f"{folder}: {count_of(len(store), 'image')}")
    known = set(store.ids)
    paths = {image_id: folder / store.path_of(image_id) for image_id in said.answers if image_id in known}
    found = {
        image_id: str(path)
        for image_id, path in paths.items()
        if holds_dicom(file_and_frame(path)[0], headerless=True)
    }
    if not found:
        raise DataError(
            f"{run}: none of its {len(said.answers)} images is a DICOM file of collection {name}; "
            "expected some, or --form jsonl"
        )
    return found


def _write_reports(folder: Path, said: _Said, images: Mapping[str, str], advance: Advance) -> None:
    """A report for each image, as far as it is not there; and a list of those that there is none for."""
    try:
        from imageclef.runs.structured_report import write_structured_report
    except ImportError:
        raise DataError("Structured Reports are written with `pip install imageclef[dicom]`") from None
    left_out = []
    for image_id, found in said.findings():
        if image_id not in images:
            left_out.append((image_id, "no DICOM file"))
            continue
        path, partial = folder / f"{image_id}.dcm", folder / f".{image_id}.partial"
        if not path.exists():
            try:
                write_structured_report(Path(images[image_id]), found, said.model, partial)
                partial.replace(path)
            except DataError as error:
                left_out.append((image_id, str(error)))
        advance(1)
    for partial in folder.glob(".*.partial"):  # of a process that was killed
        partial.unlink()
    with (folder / _LEFT_OUT).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("ID", "reason"), *left_out])


def _count(out: Path, said: _Said, form: Form, report: Report) -> None:
    """Say how much was written, and what was not."""
    report.figures = {"images": len(said.answers), "form": form, "model": said.model.digest}
    if form == "jsonl":
        return
    with (out / _LEFT_OUT).open(encoding="utf-8", newline="") as file:
        left_out = [(row["ID"], row["reason"]) for row in csv.DictReader(file)]
    report.figures |= {"reports": len(said.answers) - len(left_out), "left_out": len(left_out)}
    if left_out:
        some = name_some([f"{image_id} ({reason})" for image_id, reason in left_out])
        images = count_of(len(left_out), "image")
        report.notes.append(f"{images} without a report: {some}; all of them in {shown(out / _LEFT_OUT)}")
