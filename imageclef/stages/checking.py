"""Check: every artifact of a workspace is read and held against its manifest."""

from __future__ import annotations

from pathlib import Path

from imageclef.config import Config
from imageclef.progress import Reporter, Silent
from imageclef.runs.publishing import BEGUN
from imageclef.runs.publishing import damaged as damaged_files
from imageclef.stages.report import Report, shown
from imageclef.storage.artifacts import verify
from imageclef.storage.manifests import MANIFEST

_BEGUN = (".partial", f".{BEGUN}")
_PLACES = ("collections/*", "stores/*", "learners/*", "features/*/*", "classifiers/*", "indexes/*")


def check(config: Config, reporter: Reporter | None = None) -> Report:
    """Verify all artifacts, the index and the runs: a flipped byte, a file cut short, missing or added.

    Args:
        config: names the workspace.
        reporter: told about the progress.

    Returns:
        `ok` is False if anything is wrong; each fault is a note. Work that was stopped is no fault.
    """
    report, workspace = Report("check", read=[shown(config.workspace)]), config.workspace
    published = sorted(
        path.parent for path in workspace.glob(f"**/{MANIFEST}") if not _hidden(path.parent, workspace)
    )
    damaged = 0
    with (reporter or Silent()).progress("checking", len(published), "artifacts") as advance:
        for path in published:
            faults = verify(path)
            damaged += bool(faults)
            report.notes += faults
            advance(1)
    runs = sorted(workspace.glob("runs/*.json"))
    for path in runs:
        faults = damaged_files(path)
        damaged += bool(faults)
        report.notes += faults
    stopped = _stopped(workspace, set(published))
    report.notes += [f"{shown(path)}: was stopped; the same command goes on with it" for path in stopped]
    report.ok = not damaged
    checked = len(published) + len(runs)
    report.figures = {"artifacts": checked, "damaged": damaged, "stopped": len(stopped)}
    return report.done()


def _stopped(workspace: Path, published: set[Path]) -> list[Path]:
    """Folders that a stage has begun: hidden ones, and those in an artifact's place that have no manifest."""
    hidden = [path for path in workspace.glob("**/.*") if path.is_dir() and path.suffix in _BEGUN]
    places = (path for place in _PLACES for path in workspace.glob(place) if not _hidden(path, workspace))
    return sorted([*hidden, *(path for path in places if path.is_dir() and path not in published)])


def _hidden(path: Path, workspace: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(workspace).parts)
