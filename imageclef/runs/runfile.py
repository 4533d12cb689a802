"""Run files: what is handed in, one line of concepts for each image of the test part.

A run in memory is image id -> concepts. In a file, an image without concepts is written as its id and the
separator, never as the bare id: the program of 2018 crashes on a bare id in its first line.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Literal

from imageclef.data.ids import fault_in_id
from imageclef.data.list_lines import CONCEPT
from imageclef.errors import DataError
from imageclef.runs.editions import EDITIONS, Edition
from imageclef.runs.lines import SUBMISSION, checked_lines, read_lines
from imageclef.storage.disk import whole_file


def read_run(path: Path, edition: Edition) -> dict[str, tuple[str, ...]]:
    """Read a run, to work with it.

    White space around concepts and empty concepts (of a leading or trailing separator) are dropped,
    though they count when a run is scored: see `imageclef.runs.evaluate`.

    Raises:
        RunRefused: the organisers refuse it, as far as can be told without the ids of the test part.
        DataError: there is no such file.
    """
    return {
        line.image_id: tuple(dict.fromkeys(filter(None, map(str.strip, line.fields or ()))))
        for line in read_lines(path, edition)
    }


def check_run(path: Path, ids: Sequence[str], edition: Edition) -> None:
    """Refuse what the organisers of an edition refuse.

    Args:
        path: the run; for the editions that take one, also a zip.
        ids: the images of the test part, in the truth's order.
        edition: whose rules.

    Raises:
        RunRefused: one line with the file, the line and the reason.
        DataError: there is no such file.
    """
    checked_lines(path, ids, edition)


def write_run(path: Path, run: Mapping[str, Sequence[str]], edition: Edition) -> None:
    """Write a run; the file appears whole or not at all. A repeated concept is written once.

    Raises:
        DataError: an id or a concept that the edition's form cannot hold, or more concepts than it allows.
    """
    lines = [] if edition.header is None else [edition.header + "\n"]
    for image_id, concepts in run.items():
        unique = list(dict.fromkeys(concepts))
        if fault := fault_in_id(image_id, edition.separator):
            raise DataError(f"{path}: image id {image_id!r} cannot stand in a run of {edition.name}: {fault}")
        for concept in unique:
            if not CONCEPT.fullmatch(concept):
                raise DataError(f"{path}: '{concept}' of image '{image_id}' is not C and digits")
        if len(unique) > edition.max_concepts:
            raise DataError(
                f"{path}: image '{image_id}' has {len(unique)} concepts; "
                f"edition {edition.name} allows {edition.max_concepts}"
            )
        lines.append(f"{image_id}{edition.separator}{edition.concept_separator.join(unique)}\n")
    with whole_file(path) as hidden:
        hidden.write_bytes("".join(lines).encode())


def write_submission_zip(run_path: Path, zip_path: Path) -> None:
    """Pack a run as the editions from 2024 on take it: a zip that holds only ``submission.csv``.

    Raises:
        RunRefused: the run is not in the form of 2026, the strictest of them.
    """
    for _ in read_lines(run_path, EDITIONS["2026"]):
        pass
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        # A ZipInfo of its own has a fixed date: the same run makes the same bytes.
        archive.writestr(zipfile.ZipInfo(SUBMISSION), run_path.read_bytes(), zipfile.ZIP_DEFLATED)
    with whole_file(zip_path) as hidden:
        hidden.write_bytes(packed.getvalue())


def run_name(features: str, n: int | str, offset: int, when: datetime) -> str:
    """The name of a linear run as in 2018, such as ``aae-500-o0-2018-04-30_1217``.

    Args:
        features: the learner's name.
        n: the number of concepts in the window.
        offset: the rank of the first of them.
        when: with its time zone; the name has UTC.
    """
    return f"{features}-{n}-o{offset}-{_stamp(when)}"


def merged_run_name(features: str, n: int | str, when: datetime) -> str:
    """The name of joined windows: `n` concepts in all, such as ``aae-2500-merge-2018-04-30_1217``."""
    return f"{features}-{n}-merge-{_stamp(when)}"


def knn_run_name(features: str, metric: Literal["l2", "cosine"], part: str, when: datetime) -> str:
    """The name of a k-NN run, such as ``knn-aae-all-...`` or, by inner product, ``knn-ip-aae-train-...``.

    Args:
        features: the learner's name.
        metric: of the index.
        part: what was indexed.
        when: with its time zone; the name has UTC.
    """
    return f"knn-{'ip-' if metric == 'cosine' else ''}{features}-{part}-{_stamp(when)}"


def _stamp(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d_%H%M")
