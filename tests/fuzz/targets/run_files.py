"""Run files of every edition."""

from __future__ import annotations

from pathlib import Path

from imageclef.runs.editions import EDITIONS, Edition
from imageclef.runs.runfile import check_run, read_run, write_run, write_submission_zip
from tests.fuzz.target import Case, Target

TABLE = b"ID,CUIs\na1,C0000001;C0000002\na2,\na3,C0000003\n"

_RULES = tuple(EDITIONS[year] for year in ("2017", "2018", "2021", "2022", "2025", "2026"))


def _seeds() -> list[bytes]:
    return [
        b"a1\tC0000001,C0000002\na2\t\na3\tC0000003\n",
        b"a1\tC0000001;C0000002\na2\t\na3\tC0000003\n",
        b"a1|C0000001;C0000002\na2|\na3|C0000003\n",
        TABLE,
        b"a1, C1;C2 \na2\n",
        "\u00e41\tC1;;C2\r\n\u2028x\tanything\r".encode(),
    ]


def _attempt(case: Case) -> None:
    path = case.file("run.csv")
    for edition in _RULES:
        check(case, path, edition)
    case.ask(path, write_submission_zip, path, case.folder / "packed.zip")


def check(case: Case, path: Path, edition: Edition) -> None:
    """Read a run, hold it against its own ids, write it and read it again."""
    run = case.ask(path, read_run, path, edition)
    if run is None:
        return
    # What can be read is refused for nothing but its ids.
    check_run(path, list(run), edition)
    written = case.folder / "written.csv"
    again = case.ask(written, _through, written, run, edition)
    case.require(again in (None, run), f"a run of {edition.name} comes back as it was")


def _through(path: Path, run: dict[str, tuple[str, ...]], edition: Edition) -> dict[str, tuple[str, ...]]:
    write_run(path, run, edition)
    return read_run(path, edition)


TARGET = Target(
    "run-files",
    _seeds,
    _attempt,
    tokens=(
        *(b"ID,CUIs", b"ID", b"|", b"C1;C1", b";;", b" C1 ", b'"a\nb"', b'"', b"\n\n"),
        b"C0000001;" * 101,
    ),
)
