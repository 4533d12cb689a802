"""Names of concepts, from a table that the user gives: the task's own, or UMLS's ``MRCONSO.RRF``.

The task's tables have a header that names a column of concepts and one of names, in any order and case, with
a TAB, a semicolon or a comma between: ``concept<TAB>concept_name`` (2022, 2023), ``CUI,Canonical name`` (2024
on). Two columns without a header are read too. ``MRCONSO.RRF`` is read line by line, whatever its size.

Reference: UMLS Reference Manual, "Metathesaurus - Rich Release Format" (the columns of MRCONSO.RRF).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from imageclef.data.list_lines import CONCEPT
from imageclef.errors import DataError

_CONCEPT_COLUMNS = {"concept", "concepts", "cui", "cuis", "conceptid", "conceptcui", "umlscui"}
_NAME_COLUMNS = {
    *("name", "names", "conceptname", "conceptnames", "canonicalname", "preferredname"),
    *("cuiname", "label", "term", "str"),
}
_RRF_FIELDS = 18
_LANGUAGE, _TERM_STATUS, _STRING_TYPE, _IS_PREFERRED, _STRING, _SUPPRESSED = 1, 2, 4, 6, 14, 16

_Lines = Iterator[tuple[int, str]]


def read_concept_names(path: Path, wanted: Collection[str] | None = None) -> dict[str, str]:
    """Read a table of concept names.

    Args:
        path: the table; its form is found out from the first line.
        wanted: the concepts whose names are kept; by default all.

    Returns:
        A name for each concept that has one: the first of a table, the preferred English one of MRCONSO.RRF.

    Raises:
        DataError: the file cannot be read, is in neither form, or a line is not of its form.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = ((number, line.rstrip("\n")) for number, line in enumerate(file, start=1))
            _, first = next(lines, (0, ""))
            if _is_rrf(first):
                return _read_rrf(path, first, lines, wanted)
            return _read_table(path, first, lines, wanted)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected a table of concept names") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text; expected a table of concept names") from None


def _is_rrf(line: str) -> bool:
    return line.count("|") >= _RRF_FIELDS - 1 and bool(CONCEPT.fullmatch(line.partition("|")[0]))


def _read_rrf(path: Path, first: str, lines: _Lines, wanted: Collection[str] | None) -> dict[str, str]:
    kept = None if wanted is None else frozenset(wanted)
    best: dict[str, tuple[tuple[bool, ...], str]] = {}
    for number, line in _again(first, lines):
        concept = line.partition("|")[0]
        if kept is not None and concept not in kept:
            continue
        fields = line.split("|")
        if len(fields) < _RRF_FIELDS or not CONCEPT.fullmatch(concept):
            raise DataError(f"{path}:{number}: {len(fields)} fields; expected a line of MRCONSO.RRF")
        rank = (
            fields[_LANGUAGE] == "ENG",
            fields[_SUPPRESSED] == "N",
            fields[_TERM_STATUS] == "P",
            fields[_STRING_TYPE] == "PF",
            fields[_IS_PREFERRED] == "Y",
        )
        if concept not in best or rank > best[concept][0]:
            best[concept] = rank, fields[_STRING]
    return {concept: name for concept, (_, name) in best.items()}


def _read_table(path: Path, first: str, lines: _Lines, wanted: Collection[str] | None) -> dict[str, str]:
    columns = _columns(path, first)
    kept = None if wanted is None else frozenset(wanted)
    names: dict[str, str] = {}
    for number, line in lines if columns.named else _again(first, lines):
        if not line.strip():
            continue
        line = line.rstrip()
        cells = _cells(f"{path}:{number}", line, columns.separator)
        while len(cells) > columns.width and not cells[-1]:  # a spreadsheet's empty columns
            line, cells = line.removesuffix(columns.separator).rstrip(" "), cells[:-1]
        if len(cells) > columns.width == columns.name + 1:
            # A name with an unquoted separator in it, such as "Lung, left" in the last column.
            cells[columns.name :] = [line.split(columns.separator, columns.name)[-1].strip()]
        if len(cells) != columns.width or not CONCEPT.fullmatch(cells[columns.concept]):
            raise DataError(f"{path}:{number}: '{line[:40]}'; expected a concept and its name")
        concept, name = cells[columns.concept], cells[columns.name]
        if name and (kept is None or concept in kept):
            names.setdefault(concept, name)
    return names


class _Columns(NamedTuple):
    """Where a table keeps what; `named` if its first line is a header."""

    separator: str
    concept: int
    name: int
    width: int
    named: bool


def _columns(path: Path, first: str) -> _Columns:
    for separator in "\t;,":
        cells = _cells(f"{path}:1", first, separator)
        while len(cells) > 2 and not cells[-1]:
            cells.pop()
        plain = [re.sub("[^a-z0-9]", "", cell.lower()) for cell in cells]
        concept = next((i for i, name in enumerate(plain) if name in _CONCEPT_COLUMNS), None)
        name = next((i for i, name in enumerate(plain) if name in _NAME_COLUMNS), None)
        if concept is not None and name is not None:
            return _Columns(separator, concept, name, len(cells), True)
        if len(cells) >= 2 and CONCEPT.fullmatch(cells[0]):
            return _Columns(separator, 0, 1, 2, False)
    raise DataError(
        f"{path}:1: '{first[:40]}'; expected a header with a column of concepts (CUI) and one of names, "
        "or MRCONSO.RRF"
    )


def _cells(where: str, line: str, separator: str) -> list[str]:
    try:
        # One reader a line: a stray quotation mark spoils one name, not the rest of the file.
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error as error:
        raise DataError(f"{where}: {error}; expected a concept and its name") from None


def _again(first: str, lines: _Lines) -> _Lines:
    yield 1, first
    yield from lines
