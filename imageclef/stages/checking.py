"""Check: every artifact of a workspace is read and held against its manifest."""

from __future__ import annotations

from pathlib import Path

from imageclef.artifacts import MANIFEST, verify
from imageclef.config import Config
from imageclef.progress import Reporter, Silent
from imageclef.retrieval.checking import check as check_index
from imageclef.retrieval.stored import ABOUT
from imageclef.stages.report import Report, shown


def check(config: Config, reporter: Reporter | None = None) -> Report:
    """Verify all artifacts: a flipped byte, a file cut short, missing or added, another format.

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
    indexes = sorted(path.parent for path in workspace.glob(f"indexes/*/{ABOUT}"))
    for path in indexes:
        faults = check_index(path)
        damaged += bool(faults)
        report.notes += faults
    stopped = sorted(path for path in workspace.glob("**/.*.partial") if path.is_dir())
    report.notes += [f"{shown(path)}: was stopped; the same command goes on with it" for path in stopped]
    report.ok = not damaged
    report.figures = {"artifacts": len(published) + len(indexes), "damaged": damaged, "stopped": len(stopped)}
    return report.done()


def _hidden(path: Path, workspace: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(workspace).parts)
