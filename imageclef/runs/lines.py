"""The lines of a run file, refused where the organisers' programs refuse them or crash.

What those programs do was read in their published sources and is held by their verdicts on made-up runs
(the golden cases). They read text with any line ends; the tables before 2024 know no quotation marks.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from imageclef.data.ids import composed
from imageclef.data.list_lines import CONCEPT
from imageclef.errors import DataError, RunRefused
from imageclef.runs.editions import Edition

SUBMISSION = "submission.csv"
"""The only file that a zipped run may hold."""

MOST_UNZIPPED = 1 << 26
"""Most bytes of it: a run of 70,000 images with all the concepts that an edition with zips allows."""


class RunLine(NamedTuple):
    """One line of a run, as it stands in the file.

    Attributes:
        number: of the line, from 1.
        image_id: as it stands there, in composed form (NFC).
        fields: what stands between the concept separators, with any white space; one empty field for
            an image without concepts; None for a bare id.
    """

    number: int
    image_id: str
    fields: list[str] | None


def read_lines(path: Path, edition: Edition) -> Iterator[RunLine]:
    """The lines of a run without its header, checked for all but the ids of the test part.

    Raises:
        RunRefused: at the first line that the organisers refuse.
        DataError: there is no such file.
    """
    seen: set[str] = set()
    for line in _split(path, _text_lines(path, edition), edition):
        where = f"{path}:{line.number}"
        if line.image_id in seen:
            raise RunRefused(f"{where}: image '{line.image_id}' appears twice; expected one line for each")
        seen.add(line.image_id)
        if line.fields is not None:
            _check_concepts(where, line.fields, edition)
        elif edition.strict or (line.number == 1 and not edition.bare_first_line):
            raise RunRefused(f"{where}: no separator after '{line.image_id}'; expected {edition.example}")
        if edition.strict:
            _check_white_space(where, line)
        yield line


def checked_lines(path: Path, ids: Sequence[str], edition: Edition) -> list[RunLine]:
    """The lines of a run that the organisers accept.

    Args:
        path: the run; for the editions that take one, also a zip.
        ids: the images of the test part, in the truth's order.
        edition: whose rules.

    Raises:
        RunRefused: one line with the file, the line and the reason.
        DataError: there is no such file.
    """
    known = set(ids)
    lines: list[RunLine] = []
    for line in read_lines(path, edition):
        where = f"{path}:{line.number}"
        if line.image_id not in known:
            raise RunRefused(f"{where}: image '{line.image_id}' is not among the {len(ids)} of the test part")
        if edition.ordered and line.image_id != ids[len(lines)]:
            raise RunRefused(
                f"{where}: image '{line.image_id}'; expected '{ids[len(lines)]}' (the truth's order)"
            )
        lines.append(line)
    missing = known.difference(line.image_id for line in lines)
    if missing:
        first = next(image_id for image_id in ids if image_id in missing)
        raise RunRefused(f"{path}: {len(missing)} of {len(ids)} images are missing; the first is '{first}'")
    return lines


def _text_lines(path: Path, edition: Edition) -> list[str]:
    data = _unzipped(path, edition) if path.suffix.lower() == ".zip" else _bytes(path)
    if data.startswith(b"\xef\xbb\xbf"):
        raise RunRefused(f"{path}:1: a byte-order mark; expected UTF-8 without one")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise RunRefused(f"{path}:{number}: byte 0x{data[error.start]:02x}; expected UTF-8 text") from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise RunRefused(f"{path}:{number}: blank line; expected {edition.example}")
    return lines


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected a run file") from None


def _unzipped(path: Path, edition: Edition) -> bytes:
    if not edition.zipped:
        raise RunRefused(f"{path}: a zip; edition {edition.name} takes the plain file")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if names != [SUBMISSION]:
                raise RunRefused(f"{path}: holds {', '.join(names) or 'nothing'}; expected only {SUBMISSION}")
            size = archive.getinfo(SUBMISSION).file_size
            if size > MOST_UNZIPPED:
                raise RunRefused(f"{path}: {size:,} bytes unpacked; at most {MOST_UNZIPPED:,} are read")
            return archive.read(SUBMISSION)
    except RunRefused:
        raise
    except Exception as error:  # zipfile lets through whatever its decompressors meet, zlib.error to EOFError
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"{path}: {error.strerror}; expected a run file") from None
        reason = str(error) or type(error).__name__
        raise RunRefused(f"{path}: cannot be unpacked: {reason}; expected a zip of {SUBMISSION}") from None


def _split(path: Path, lines: list[str], edition: Edition) -> Iterator[RunLine]:
    for number, row in _rows(path, lines, edition):
        if len(row) > 2:
            raise RunRefused(f"{path}:{number}: {len(row)} columns; expected {edition.example}")
        fields = row[1].split(edition.concept_separator) if len(row) == 2 else None
        yield RunLine(number, composed(row[0]), fields)


def _rows(path: Path, lines: list[str], edition: Edition) -> Iterator[tuple[int, list[str]]]:
    """Line number and columns of each line after the header."""
    if edition.header is None:
        yield from ((i, line.split(edition.separator)) for i, line in enumerate(lines, start=1))
        return
    # With their ends, as the organisers' programs have them: within quotation marks they belong to the id.
    reader = csv.reader(f"{line}\n" for line in lines)
    try:
        yield from _rows_of_table(path, reader, edition.header, edition.strict)
    except csv.Error as error:
        raise RunRefused(f"{path}:{reader.line_num}: {error}; expected {edition.example}") from None


def _rows_of_table(path: Path, reader: Any, expected: str, strict: bool) -> Iterator[tuple[int, list[str]]]:
    header: list[str] = next(reader, [])
    if header != expected.split(","):
        if strict:
            raise RunRefused(f"{path}:1: header '{','.join(header)[:40]}'; expected exactly '{expected}'")
        # The program of 2025 takes any line with ID in its first column for a header, and asks for none.
        if header and "ID" not in header[0]:
            yield 1, header
    yield from ((reader.line_num, row) for row in reader)


def _check_concepts(where: str, fields: list[str], edition: Edition) -> None:
    concepts = [field.strip() for field in fields] if edition.strips else fields
    if len(concepts) > edition.max_concepts:
        raise RunRefused(f"{where}: {len(concepts)} concepts; {edition.name} allows {edition.max_concepts}")
    if len(set(concepts)) < len(concepts):
        twice = next(concept for i, concept in enumerate(concepts) if concept in concepts[:i])
        raise RunRefused(f"{where}: concept '{twice}' appears twice; expected each once")
    if edition.strict and concepts != [""]:
        for concept in concepts:
            if not CONCEPT.fullmatch(concept):
                raise RunRefused(f"{where}: '{concept}' is not a concept; expected C and digits")


def _check_white_space(where: str, line: RunLine) -> None:
    cell = ";".join(line.fields or ())
    if line.image_id != line.image_id.strip() or cell != cell.strip():
        raise RunRefused(f"{where}: white space at the edge of a column; expected none")
