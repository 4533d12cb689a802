"""Report: what runs are worth, as one HTML page and one JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imageclef.config import DEFAULT_EDITION
from imageclef.data.concept_names import read_concept_names
from imageclef.errors import ConfigError
from imageclef.progress import Reporter, Silent
from imageclef.reporting.content import Content, RunContent, work_out
from imageclef.reporting.examples import Thumbnail, ids_shown, read_thumbnails
from imageclef.reporting.inputs import Inputs, read_inputs
from imageclef.reporting.page import render
from imageclef.runs.editions import edition_named
from imageclef.stages.report import Report, count_of, shown
from imageclef.storage.outputs import output_file, require_writable


def report_runs(
    runs: Sequence[Path],
    truth: Path,
    out: Path,
    edition: str = DEFAULT_EDITION,
    images: Path | None = None,
    groups: Path | None = None,
    sources: str | None = None,
    concept_names: Path | None = None,
    reporter: Reporter | None = None,
    *,
    force: bool = False,
) -> Report:
    """Write a report on one or several runs over the same images.

    What stands beside a run is used: ``NAME.json`` says how it was made, ``NAME/scores.safetensors`` has its
    scores, for average precision and calibration.

    Args:
        runs: run files; the others are compared with the first.
        truth: the concept list of the same images.
        out: the page to write, ``NAME.html``; ``NAME.json`` is written beside it.
        edition: whose rules.
        images: a folder, for thumbnails of examples.
        groups: a CSV file with the columns ID and group; intervals are over groups.
        sources: a further column of it: scores for each of its values.
        concept_names: a table of the task, or MRCONSO.RRF; by default concepts are shown as bare CUIs.
        reporter: told about the progress.
        force: whether a file of ours that was changed since may be replaced.

    Raises:
        RunRefused: a run breaks the edition's rules.
        DataError: a file cannot be read, or belongs to other images.
        ConfigError: no run, `sources` without `groups` or not among its columns, or an `out` that is not
            a page.
        ArtifactError: `out` is an input, or something that we did not make.
    """
    report, reporter = Report("report", read=[*map(str, runs), str(truth)]), reporter or Silent()
    page, facts = out, out.with_suffix(".json")
    if page.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{page}: a report is a page; expected a name that ends in .html")
    read = [*runs, truth, *(path for path in (images, groups, concept_names) if path)]
    for path in (page, facts):
        require_writable(path, read, force)
    inputs = read_inputs(runs, truth, edition_named(edition), groups, sources)
    if groups is not None:
        _say_groups(inputs, groups, report)
    names = {} if concept_names is None else _names(concept_names, inputs.vocabulary.concepts, report)
    content = work_out(inputs, names)
    thumbnails = {} if images is None else _thumbnails(content, images, report, reporter)
    for path, text in (
        (page, render(content, thumbnails)),
        (facts, json.dumps(content.as_json(), indent=1, allow_nan=False) + "\n"),
    ):
        with output_file(path, read, force) as hidden:
            hidden.write_text(text, encoding="utf-8", newline="\n")
    report.wrote += [shown(page), shown(facts)]
    report.figures = {
        "edition": edition,
        "images": len(inputs.ids),
        "groups": content.n_groups,
        "runs": {run.name: _figures(run) for run in content.runs},
    }
    return report.done()


def _say_groups(inputs: Inputs, path: Path, report: Report) -> None:
    report.read.append(f"{path}: {count_of(len(set(inputs.groups.tolist())), 'group')}")
    if inputs.ungrouped:
        report.notes.append(
            f"{count_of(inputs.ungrouped, 'image')} not in {path}, each taken for a group of its own"
        )


def _names(path: Path, concepts: Sequence[str], report: Report) -> dict[str, str]:
    names = read_concept_names(path, concepts)
    report.read.append(f"{path}: names of {len(names):,} of {count_of(len(concepts), 'concept')}")
    return names


def _thumbnails(content: Content, folder: Path, report: Report, reporter: Reporter) -> dict[str, Thumbnail]:
    ids = ids_shown(one for run in content.runs for one in run.examples)
    with reporter.progress("thumbnails", len(set(ids)), "images") as advance:
        thumbnails = read_thumbnails(ids, folder, advance)
    missing = sum(not thumbnail.uri for thumbnail in thumbnails.values())
    report.read.append(f"{folder}: {count_of(len(thumbnails) - missing, 'thumbnail')}")
    if missing:
        report.notes.append(f"{count_of(missing, 'example')} without a picture; the page says why")
    return thumbnails


def _figures(run: RunContent) -> dict[str, Any]:
    measures = run.measures
    return {
        "f1": measures.f1.value,
        "low": measures.f1.low,
        "high": measures.f1.high,
        "micro_f1": measures.micro_f1.value,
        "macro_f1": measures.macro_f1,
        "mean_average_precision": measures.mean_average_precision,
    }
