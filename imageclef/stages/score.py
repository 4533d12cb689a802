"""Validate, evaluate, merge: stages that work on run files alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imageclef.config import DEFAULT_EDITION
from imageclef.data.concept_list import read_ids
from imageclef.errors import ConfigError
from imageclef.runs.editions import edition_named
from imageclef.runs.evaluate import evaluate_run
from imageclef.runs.merge import How, merge_runs
from imageclef.runs.runfile import check_run, read_run, write_run
from imageclef.stages.report import Report, count_of, shown
from imageclef.storage.outputs import output_file, require_writable


def validate(run: Path, ids: Path, edition: str = DEFAULT_EDITION) -> Report:
    """Check a run file as the organisers of an edition do.

    Args:
        run: the file.
        ids: a concept list, or a file of ids, of the images that must be answered.
        edition: whose rules.

    Raises:
        RunRefused: with the line and the reason.
    """
    report = Report("validate")
    expected = read_ids(ids)
    check_run(run, expected, edition_named(edition))
    report.read += [str(run), f"{ids}: {count_of(len(expected), 'image')}"]
    report.figures = {"valid": True, "edition": edition, "images": len(expected)}
    return report.done()


def evaluate(run: Path, truth: Path, edition: str = DEFAULT_EDITION, manual: Path | None = None) -> Report:
    """Score a run file as the organisers of an edition do.

    Args:
        run: the file.
        truth: the concept list of the same images.
        edition: whose rules.
        manual: the list of manual concepts, for the secondary score of 2025 and 2026.

    Raises:
        RunRefused: the run breaks the edition's rules.
        DataError: the truth cannot be read.
    """
    report = Report("evaluate", read=[str(run), str(truth)])
    score = evaluate_run(run, truth, edition_named(edition), manual)
    report.figures = {
        "score": score.score,
        "score_secondary": score.score_secondary,
        "edition": edition,
        "images": score.n_images,
    }
    return report.done()


def merge(
    runs: Sequence[Path],
    out: Path,
    edition: str = DEFAULT_EDITION,
    how: How = "union",
    weights: Sequence[float] | None = None,
    force: bool = False,
) -> Report:
    """Join runs over the same images into one.

    Args:
        runs: two or more files.
        out: the file to write.
        edition: the form of all of them.
        how: union joins windows; intersection, majority and vote join rivals.
        weights: one for each run, for the vote.
        force: whether a file of ours at `out` that was changed since may be replaced.

    Raises:
        ConfigError: fewer than two runs, or not one weight for each.
        DataError: the runs answer different images.
        ArtifactError: `out` is one of the runs, or a file that we did not make.
    """
    if len(runs) < 2:
        raise ConfigError(f"merge: {len(runs)} run given, expected two or more")
    if weights is not None and len(weights) != len(runs):
        raise ConfigError(f"merge: {len(weights)} weights for {len(runs)} runs, expected one for each")
    require_writable(out, runs, force)
    rules, report = edition_named(edition), Report("merge", read=[str(run) for run in runs])
    merged = merge_runs([read_run(run, rules) for run in runs], how, rules, weights)
    with output_file(out, runs, force) as hidden:
        write_run(hidden, merged, rules)
    check_run(out, list(merged), rules)
    report.wrote.append(shown(out))
    report.figures = {
        "images": len(merged),
        "concepts": len({concept for concepts in merged.values() for concept in concepts}),
        "assignments": sum(map(len, merged.values())),
    }
    return report.done()
