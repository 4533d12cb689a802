"""Concept lists of every edition, and plain lists of ids."""

from __future__ import annotations

from pathlib import Path

from imageclef.data.concept_list import ConceptLists, read_concept_list, read_ids, write_concept_list
from tests.fuzz.target import Case, Target

_FORMS = (None, "2017", "2018", "2022", "2024", "roco")


def _seeds() -> list[bytes]:
    return [
        b"a1\tC0000001,C0000002\na2\tC0000003\na3\t\n",
        b"a1\tC0000001;C0000002\na2\tC0000003\na3\t\n",
        b"\xef\xbb\xbfID\tcuis\r\na1\tC0000001;C0000002\r\na2\tC0000003\r\n\r\n",
        b'ID,CUIs\na1,C0000001;C0000002\n"a,2",C0000003\na3,\n',
        b"a1\t\tC0000001\tC0000002\na2\t\tC0000003\na3\t\n",
        b"a1\na2\na3\n",
        "\u00e41 \tC1; C2 \n\u2028x\tC1\n".encode(),
    ]


def _attempt(case: Case) -> None:
    path, written = case.file("list.csv"), case.folder / "written.csv"
    for edition in _FORMS:
        concepts = case.ask(path, read_concept_list, path, edition)
        if concepts is not None:
            again = case.ask(written, _through, written, concepts)
            case.require(again in (None, concepts), f"a list of {edition} comes back as it was")
    ids = case.ask(path, read_ids, path)
    case.require(ids is None or len(set(ids)) == len(ids) > 0, "there are ids, each once")


def _through(path: Path, concepts: ConceptLists) -> ConceptLists:
    write_concept_list(path, concepts)
    return read_concept_list(path, "2018")


TARGET = Target(
    "concept-lists",
    _seeds,
    _attempt,
    tokens=(
        *(b"ID\tcuis", b"ID,CUIs", b"ID,", b"\t\t", b"C0000001;", b";;", b",C1", b'"a\nb"', b'""'),
        *(b"image", b"concepts"),
    ),
)
