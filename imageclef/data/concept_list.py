"""Concept lists: which concepts each image has, in the form of any edition of the task.

The forms, and what is read with a shrug, stand in `imageclef.data.list_lines`. A concept that stands
twice for one image is kept once (no real list seen has one). Everything else is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from imageclef.data.ids import composed, fault_in_id
from imageclef.data.list_lines import (
    CONCEPT,
    SNIFFED_LINES,
    ListLine,
    each_once,
    has_semicolons,
    is_id_name,
    open_concept_list,
    read_text_lines,
)
from imageclef.errors import DataError

ConceptLists = dict[str, tuple[str, ...]]
"""The concepts of each image, both in file order."""


def read_concept_list(path: Path, edition: str | None = None) -> ConceptLists:
    """Read a concept list.

    Args:
        path: the list.
        edition: "2017" to "2026" or "roco" to allow that form only; by default the form is found out.

    Returns:
        The concepts of each image, both in file order.

    Raises:
        DataError: the file cannot be read, or a line is not of the form, or an image appears twice, or
            a concept is not C and digits; the message names the file and the line.
        ConfigError: there is no such edition.
    """
    form, lines = open_concept_list(path, edition)
    known = _Concepts()
    concepts_of: ConceptLists = {}
    for number, image_id, fields in lines:
        if fields is None:
            raise DataError(f"{path}:{number}: no separator after '{image_id}'; expected {form.example}")
        if len(fields) == 1 and not fields[0].strip():
            concepts_of[image_id] = ()
            continue
        try:
            concepts = tuple(map(known.__getitem__, fields))
        except _NotAConceptError as error:
            raise DataError(
                f"{path}:{number}: '{error}' is not a concept; expected C and digits as in {form.example}"
            ) from None
        unique = len(set(concepts)) == len(concepts)
        concepts_of[image_id] = concepts if unique else tuple(dict.fromkeys(concepts))
    return concepts_of


def read_ids(path: Path) -> list[str]:
    """The image ids of a concept list of any edition, or of a plain file with one id on each line.

    Raises:
        DataError: the file cannot be read, or a line is blank, or an id appears twice.
    """
    lines = read_text_lines(path)
    head = lines[:SNIFFED_LINES]
    if (
        has_semicolons(lines)
        or any("\t" in line for line in head)
        or 2 * sum("," in line for line in head) > len(head)
    ):
        return [line.image_id for line in open_concept_list(path)[1]]
    skip = 1 if is_id_name(lines[0]) and len(lines) > 1 else 0
    plain = (ListLine(i + 1, composed(lines[i].strip()), None) for i in range(skip, len(lines)))
    return [line.image_id for line in each_once(path, plain)]


def write_concept_list(path: Path, concepts: Mapping[str, Sequence[str]]) -> None:
    """Write a concept list in the form of 2018.

    Raises:
        DataError: an id or a concept would not be read back as it is.
    """
    for image_id, of_image in concepts.items():
        if fault := fault_in_id(image_id, "\t"):
            raise DataError(f"{path}: image id {image_id!r} cannot be written: {fault}")
        bad = next((concept for concept in of_image if not CONCEPT.fullmatch(concept)), None)
        if bad is not None:
            raise DataError(f"{path}: '{bad}' of image '{image_id}' is not a concept; expected C and digits")
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{image_id}\t{';'.join(of_image)}\n" for image_id, of_image in concepts.items())


class _NotAConceptError(ValueError):
    """Carries a field that is not a concept to where the line number is known."""


class _Concepts(dict[str, str]):
    """Field -> concept. Each spelling is judged once, and every image shares the one string."""

    def __missing__(self, field: str) -> str:
        concept = field.strip()
        if not CONCEPT.fullmatch(concept):
            raise _NotAConceptError(field)
        self[field] = self[concept] = concept
        return concept
