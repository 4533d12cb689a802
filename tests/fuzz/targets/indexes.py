"""An index: its manifest and what that names. A manifest changed as JSON gets the right digest again."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np

from imageclef.retrieval import checking, stored
from imageclef.retrieval.index import Index
from tests.fuzz.json_trees import changed_tree
from tests.fuzz.target import LONGEST_MESSAGE, Case, Target, is_a_line
from tests.fuzz.targets.parts import BESIDE


@cache
def _files() -> dict[str, bytes]:
    """Of an index with two segments, a removed row and something attached."""
    with TemporaryDirectory() as folder:
        index = Index.build(np.eye(4, dtype=np.float32), list("abcd"), "l2")
        index.attach("map", b"[]")
        index.save(Path(folder))
        with Index.changing(Path(folder)) as changing:
            changing.remove(["a"])
            changing.add(np.full((1, 4), 0.5, np.float32), ["e"])
        return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


@cache
def _damaged() -> tuple[str, ...]:
    """The manifest, and a file of each kind."""
    kinds = ("dead-", "ids-", "rows-")
    return (
        stored.ABOUT,
        *(next(name for name in sorted(_files()) if name.startswith(kind)) for kind in kinds),
    )


def _seeds() -> list[bytes]:
    return [BESIDE.join(_files()[name] for name in _damaged())]


def _attempt(case: Case) -> None:
    folder = case.folder / "index"
    folder.mkdir(exist_ok=True)
    parts = dict(zip(_damaged(), case.data.split(BESIDE), strict=False))
    for name, data in {**_files(), **parts}.items():
        case.file(f"index/{name}", data)
    wrong = case.ask(folder, checking.check, folder)
    lines = [is_a_line(line) and len(line) < LONGEST_MESSAGE for line in wrong or ()]
    case.require(all(lines), "a line a fault")
    case.ask(folder, checking.info, folder)
    index = case.ask(folder, Index.load, folder)
    if index is not None and wrong == []:
        _, rows = index.search(np.eye(4, dtype=np.float32)[:1], 2)
        case.require(rows.shape == (1, min(2, len(index))), "there are as many answers as images")


def _change(rng: Random, data: bytes) -> bytes:
    text, beside, others = data.partition(BESIDE)
    try:
        about = json.loads(text)
        about.pop("sha256", None)
        about = changed_tree(rng, about)
        about["sha256"] = stored.digest_of(about)
    except (ValueError, RecursionError, TypeError, AttributeError):
        return data
    return json.dumps(about).encode() + beside + others


TARGET = Target(
    "indexes",
    _seeds,
    _attempt,
    tokens=(b'"format": 2', b'"segments"', b'"n": 4', b'"files"', b"[]", b"{}", BESIDE),
    change=_change,
)
