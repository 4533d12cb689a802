"""Scores of a run, and a run with what is published beside it."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np

from imageclef.runs.editions import EDITIONS
from imageclef.runs.parts import Part, all_concepts, as_member, read_parts
from imageclef.runs.scores import HELD_OUT, HELD_OUT_SCORES, SCORES, Scores
from tests.fuzz.json_trees import changed_tree
from tests.fuzz.target import Case, Target

_IDS, _CONCEPTS = ["a1", "a2", "a3"], ["C0000001", "C0000002", "C0000003"]
_RUN = b"a1\tC0000001;C0000002\na2\t\na3\tC0000003\n"


def _seeds() -> list[bytes]:
    made = []
    values = np.linspace(0, 1, 9, dtype=np.float32).reshape(3, 3)
    with TemporaryDirectory() as folder:
        for kept in (1, 3):
            path = Path(folder) / SCORES
            Scores.highest(_IDS, _CONCEPTS, values, kept).write(path)
            made.append(path.read_bytes())
    return made


def _attempt(case: Case) -> None:
    beside = case.folder / "run"
    beside.mkdir(exist_ok=True)
    path = case.file(f"run/{SCORES}")
    scores = case.ask(path, Scores.read, path)
    if scores is None:
        return
    scores.write(beside / "again")
    again = Scores.read(beside / "again")
    case.require((again.ids, again.concepts) == (scores.ids, scores.concepts), "the names come back")
    same = np.array_equal(again.matrix.toarray(), scores.matrix.toarray(), equal_nan=True)
    case.require(same, "the numbers come back")
    case.require(len(set(scores.ids)) == len(scores.ids), "each image has one row")
    case.require(len(set(scores.concepts)) == len(scores.concepts), "each concept has one column")
    case.require(list(scores.answers(2)) == scores.ids, "each image has an answer")
    _attempt_parts(case)


def _attempt_parts(case: Case) -> None:
    run = case.file("run.csv", _RUN)
    case.file(f"run/{HELD_OUT}", _RUN)
    case.file(f"run/{HELD_OUT_SCORES}")
    parts = case.ask(case.folder, read_parts, run, EDITIONS["2018"])
    if parts is not None:
        part: Part = parts[0]
        member = as_member("run", list(part.answers), part, all_concepts(part.answers, parts))
        case.require(bool(np.isfinite(member.scores.data).all()), "scores are numbers")


def _change(rng: Random, data: bytes) -> bytes:
    """Another header of the safetensors file, of the right length, and without a digest that would tell."""
    size = int.from_bytes(data[:8], "little")
    try:
        tree = json.loads(data[8 : 8 + size])
        told = json.loads(tree["__metadata__"].pop("imageclef"))
        told.pop("sha256")
        tree = changed_tree(rng, tree)
        tree["__metadata__"]["imageclef"] = json.dumps(told)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return data
    header = json.dumps(tree).encode()
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


TARGET = Target(
    "scores",
    _seeds,
    _attempt,
    tokens=(
        *(b'"F32"', b'"I32"', b'"I64"', b'"U8"', b'"BF16"', b'"BOOL"', b'"shape":['),
        *(b"a1\\na1", b"C0000001\\nC0000001"),
    ),
    change=_change,
)
