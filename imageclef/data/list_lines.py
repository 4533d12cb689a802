"""The lines of a concept list of any edition: its form found out, each line split, none judged further.

| form      | line                             | header                          |
|-----------|----------------------------------|---------------------------------|
| 2017      | ``ID<TAB>C1,C2``                 | none                            |
| 2018-2021 | ``ID<TAB>C1;C2``                 | none                            |
| 2022-2023 | ``ID<TAB>C1;C2``                 | ``ID<TAB>cuis`` or alike        |
| 2024-2026 | ``ID,C1;C2``                     | ``ID,CUIs`` or alike            |
| semicolon | ``ID;"C1;C2"``, as Excel writes  | ``ID;CUIs`` or alike            |
| roco      | ``ID<TAB><TAB>C1<TAB>C2``        | none; ``ID<TAB>`` without any   |

An image without concepts is its id and the separator. A byte-order mark, any mixture of line ends, white
space around a field, blank lines at the very end and a missing final newline are read.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from imageclef.data.ids import composed
from imageclef.errors import ConfigError, DataError

CONCEPT = re.compile(r"C[0-9]+")
"""A concept: C and digits."""

SNIFFED_LINES = 1000
"""The form is told from so many lines."""

_ID_NAME = re.compile(r"(image|img|figure|file)(id|name)?s?|(id|name)s?")
_CONCEPT_NAME = re.compile(r"cui|concept|umls|label")


@dataclass(frozen=True)
class ListForm:
    """How a concept list is written.

    Attributes:
        name: of its editions.
        field: separator of the id and the concepts.
        concept: separator of two concepts.
        header: whether a list of this form begins with a line of names.
        example: a line of it, for messages.
    """

    name: str
    field: str
    concept: str
    header: bool
    example: str


_2017 = ListForm("2017", "\t", ",", False, "ID<TAB>C0000001,C0000002")
_2018 = ListForm("2018-2021", "\t", ";", False, "ID<TAB>C0000001;C0000002")
_2022 = ListForm("2022-2023", "\t", ";", True, "ID<TAB>C0000001;C0000002")
_2024 = ListForm("2024-2026", ",", ";", True, "ID,C0000001;C0000002")
_ROCO = ListForm("roco", "\t", "\t", False, "ID<TAB><TAB>C0000001<TAB>C0000002")

_SEMICOLON = ListForm("a spreadsheet", ";", ";", True, 'ID;"C0000001;C0000002"')
_SEMICOLON_LINE = re.compile(r'[^,;\t]+;\s*("?\s*C[0-9]|$)')

_FORMS = {
    "2017": _2017,
    **dict.fromkeys(("2018", "2019", "2020", "2021"), _2018),
    **dict.fromkeys(("2022", "2023"), _2022),
    **dict.fromkeys(("2024", "2025", "2026"), _2024),
    "roco": _ROCO,
}


class ListLine(NamedTuple):
    """One line of a concept list, split but not yet judged.

    Attributes:
        number: of the line in its file, from 1.
        image_id: in composed form (NFC), without white space around it.
        fields: what stands between the concept separators, as it stands there (one empty field for an
            image without concepts); None where the id is not followed by a separator.
    """

    number: int
    image_id: str
    fields: list[str] | None


def open_concept_list(path: Path, edition: str | None = None) -> tuple[ListForm, Iterator[ListLine]]:
    """The form of a concept list and its lines without the header, one by one.

    For readers with rules of their own about concepts, such as a scorer; others take
    `read_concept_list`. A line that is not of the form is refused when the iterator comes to it.

    Raises:
        DataError: as `read_concept_list`, but for what stands between the concept separators.
        ConfigError: there is no such edition.
    """
    lines = read_text_lines(path)
    form = _sniff(lines) if edition is None else _form_named(edition)
    has_header = _is_header(lines[0], form.field)
    if form.header and edition is not None and not has_header:
        names = "ID<TAB>cuis" if form.field == "\t" else "ID,CUIs"
        names += ", not columns between semicolons" if has_semicolons(lines) else ""
        raise DataError(f"{path}:1: no header; a list of {form.name} begins with {names}")
    skip = 1 if form.header and has_header else 0
    if len(lines) == skip:
        raise DataError(f"{path}: no image below the header; expected lines such as {form.example}")
    return form, each_once(path, _split(path, lines, form, skip))


def read_text_lines(path: Path) -> list[str]:
    """The lines of a text file without their ends; at least one, and none that is blank at the end.

    Raises:
        DataError: the file cannot be read, is not UTF-8, or is empty.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected a concept list") from None
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        hint = _windows_hint(data)
        raise DataError(
            f"{path}:{number}: byte 0x{data[error.start]:02x}; expected UTF-8 text{hint}"
        ) from None
    # Not splitlines(): that also splits at characters which may stand in an id.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError(f"{path}: empty; expected lines such as {_2018.example}")
    return lines


def _windows_hint(data: bytes) -> str:
    """What a spreadsheet on Windows did to a list that is not UTF-8; empty where it does not look so.

    It is not read as cp1252: the same bytes are other letters in other Windows encodings, and an id of
    other letters would match no image, or the wrong one.
    """
    lines = data.decode("cp1252", "replace").splitlines()
    if not lines or b"\0" in data or not has_semicolons(lines):
        return ""
    return " (columns between semicolons in a Windows encoding such as cp1252: save it as 'CSV UTF-8')"


def each_once(path: Path, lines: Iterator[ListLine]) -> Iterator[ListLine]:
    """The same lines.

    Raises:
        DataError: at a blank id, or one that has been seen.
    """
    seen: set[str] = set()
    for line in lines:
        if not line.image_id:
            what = "blank line" if not any(line.fields or ()) else "no image id"
            raise DataError(f"{path}:{line.number}: {what}; expected an image id first on every line")
        if line.image_id in seen:
            raise DataError(
                f"{path}:{line.number}: image '{line.image_id}' appears twice; expected one line each"
            )
        seen.add(line.image_id)
        yield line


def has_semicolons(lines: Sequence[str]) -> bool:
    """Whether the columns of a list are separated by semicolons, as some spreadsheets write them."""
    head = lines[:SNIFFED_LINES]
    if any("\t" in line for line in head):
        return False
    rows = head[1:] if _is_header(head[0], ";") else head
    return bool(rows) and 2 * sum(bool(_SEMICOLON_LINE.match(line)) for line in rows) > len(rows)


def is_id_name(field: str) -> bool:
    """Whether a field is what a header calls the first column."""
    return bool(_ID_NAME.fullmatch(_name(field)))


def _form_named(edition: str) -> ListForm:
    if edition not in _FORMS:
        raise ConfigError(f"no edition '{edition}' of concept lists; expected one of {', '.join(_FORMS)}")
    return _FORMS[edition]


def _sniff(lines: Sequence[str]) -> ListForm:
    if has_semicolons(lines):
        return _SEMICOLON
    head = lines[:SNIFFED_LINES]
    cells = [line.partition("\t")[2] for line in head if "\t" in line]
    if len(cells) < sum("," in line for line in head if "\t" not in line):
        return _2024
    if 2 * sum(cell.startswith("\t") for cell in cells) > sum(bool(cell) for cell in cells):
        return _ROCO
    if _is_header(head[0], "\t"):
        return _2022
    return _2017 if sum("," in cell for cell in cells) > sum(";" in cell for cell in cells) else _2018


def _name(field: str) -> str:
    return re.sub("[^a-z0-9]", "", field.lower())


def _is_header(line: str, separator: str) -> bool:
    """Whether a line names columns; a list of names is asked, so that a bad first line is not one."""
    first, _, second = line.partition(separator)
    name = _name(second)
    if not name or CONCEPT.match(second.strip(' "')):
        return False
    return is_id_name(first) or bool(_CONCEPT_NAME.search(name))


def _split(path: Path, lines: list[str], form: ListForm, skip: int) -> Iterator[ListLine]:
    if form.field != "\t":
        yield from _split_csv(path, lines, form, skip)
        return
    roco = form.concept == "\t"
    for number in range(skip + 1, len(lines) + 1):
        image_id, found, cell = lines[number - 1].partition("\t")
        if roco and cell:
            if not cell.startswith("\t"):
                raise DataError(f"{path}:{number}: second field is not empty; expected {form.example}")
            cell = cell[1:]
        elif "\t" in cell:
            raise DataError(f"{path}:{number}: more than two fields; expected {form.example}")
        yield ListLine(number, composed(image_id.strip()), cell.split(form.concept) if found else None)


def _split_csv(path: Path, lines: list[str], form: ListForm, skip: int) -> Iterator[ListLine]:
    for number, line in enumerate(lines[skip:], start=skip + 1):
        try:
            row = _cells(line, form.field)
        except csv.Error as error:
            raise DataError(f"{path}:{number}: {error}; expected {form.example}") from None
        if len(row) > 2:
            between = " between semicolons" if form.field == ";" else ""
            raise DataError(f"{path}:{number}: more than two fields{between}; expected {form.example}")
        fields = _concepts(row[1], form) if len(row) == 2 else None
        yield ListLine(number, composed(row[0].strip()), fields)


def _cells(line: str, separator: str) -> list[str]:
    """The cells of one line, read by itself: a stray quotation mark must not join it with those below."""
    if '"' in line:
        return next(csv.reader([line], delimiter=separator, strict=True))
    return line.split(separator)


def _concepts(cell: str, form: ListForm) -> list[str]:
    """The concepts of a cell; between columns of semicolons, commas may stand between concepts."""
    return cell.split("," if form.field == ";" and ";" not in cell else form.concept)
