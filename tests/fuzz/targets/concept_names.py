"""Tables of concept names: the task's own, and MRCONSO.RRF."""

from __future__ import annotations

from imageclef.data.concept_names import read_concept_names
from tests.fuzz.target import Case, Target

_RRF = b"C0000001|ENG|P|L1|PF|S1|Y|A1||||MSH|PT|D1|Lung|0|N|256|\n"
_WANTED = ("C0000001", "C0000002")


def _seeds() -> list[bytes]:
    return [
        b"concept\tconcept_name\nC0000001\tLung\nC0000002\tLung, left\n",
        b'CUI,Canonical name\nC0000001,"Lung, left"\nC0000002,Lung, right\n',
        b"C0000001;Lung\nC0000002;Heart\n",
        b"n,cui,x,name\n1,C0000001,,Lung\n2,C0000002,,\n",
        _RRF + _RRF.replace(b"ENG", b"GER").replace(b"Lung", b"Lunge"),
    ]


def _attempt(case: Case) -> None:
    path = case.file("names.csv")
    names = case.ask(path, read_concept_names, path)
    some = case.ask(path, read_concept_names, path, _WANTED)
    if names is not None:
        case.require(all(concept[1:].isdecimal() for concept in names), "names are of concepts")
        expected = {concept: name for concept, name in names.items() if concept in _WANTED}
        case.require(some == expected, "those wanted have the same names")


TARGET = Target(
    "concept-names",
    _seeds,
    _attempt,
    tokens=(
        *(b"CUI", b"name", b"concept", b"C0000001", b"|ENG|P|", b"|" * 17, b'"', b"\t", b";"),
        _RRF,
    ),
)
