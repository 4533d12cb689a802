"""The kinds of index: what each is for, what it cannot do, and how hard it may search.

- `flat` compares every row. Exact, and the fastest up to some hundred thousand rows.
- `ivf` sorts the rows into lists by k-means and compares those of the nearest lists.
- `hnsw` walks a graph whose edges join near rows. Fast to search, slow to build, and cannot remove.
- `ivfpq` is `ivf` with each row coded in d / 8 bytes or so: the smallest in memory.

Whatever a kind proposes is compared again in float64, so that the distances it answers with are exact. What
it may lack are neighbours; how many it finds is its recall.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from imageclef.errors import ConfigError

Kind = Literal["flat", "ivf", "hnsw", "ivfpq"]

_FEWEST = {"flat": 1, "ivf": 100, "hnsw": 2, "ivfpq": 1000}
_ROWS_A_LIST = 39  # faiss's own demand on k-means
_LONGEST_SUB_VECTOR = 8


@dataclass(frozen=True)
class Effort:
    """How hard an approximate index searches.

    Attributes:
        reach: lists that are read (`ivf`, `ivfpq`), or rows that are kept in sight on the graph (`hnsw`).
        spread: candidates for each neighbour that is asked for; they are compared again exactly.
    """

    reach: int
    spread: int


@dataclass(frozen=True)
class Recall:
    """What was asked of an approximate index, and what was measured.

    Attributes:
        asked: the recall that was asked for.
        measured: the recall that was found with `effort`.
        k: neighbours for each query.
        n_queries: rows that it was measured on.
        n_rows: rows of the index when it was measured.
        effort: how hard every search is.
    """

    asked: float
    measured: float
    k: int
    n_queries: int
    n_rows: int
    effort: Effort

    @property
    def reached(self) -> bool:
        """Whether it is what was asked for."""
        return self.measured >= self.asked


def check_kind(kind: str, n_rows: int) -> None:
    """Refuse a kind that does not exist or cannot be learnt from so few rows.

    Raises:
        ConfigError: which, and what to do instead.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"kind = '{kind}'; expected one of {', '.join(get_args(Kind))}")
    if not enough_rows(kind, n_rows):
        raise ConfigError(
            f"kind = '{kind}' needs {_FEWEST[kind]} rows to learn from, here are {n_rows}; "
            "expected kind 'flat', which is exact and fast on so few"
        )


def enough_rows(kind: str, n_rows: int) -> bool:
    """Whether a kind can be learnt from so many rows."""
    return n_rows >= _FEWEST[kind]


def check_can_remove(kind: Kind) -> None:
    """Refuse to remove from, or replace in, what cannot.

    Raises:
        ConfigError: what to do instead.
    """
    if kind == "hnsw":
        raise ConfigError(
            "an index of kind hnsw cannot remove or replace rows; "
            "build it again without them, or build one of kind flat, ivf or ivfpq"
        )


def n_lists(n_rows: int) -> int:
    """How many lists rows are sorted into: 2 sqrt(n), but enough rows in each to learn from."""
    return max(1, min(round(2 * math.sqrt(n_rows)), n_rows // _ROWS_A_LIST))


def sub_vectors(n_features: int) -> int:
    """How many bytes code a row: parts of the greatest equal length, up to 8 features."""
    longest = max(size for size in range(1, _LONGEST_SUB_VECTOR + 1) if n_features % size == 0)
    return n_features // longest


def efforts(kind: Kind, n_rows: int, lists: int) -> Sequence[Effort]:
    """What may be tried for a recall, the cheapest first; the last finds all that the kind can find."""
    match kind:
        case "hnsw":
            return [Effort(reach, 1) for reach in _doubling(16, min(n_rows, 8192))]
        case "ivf":
            return [Effort(reach, 1) for reach in _doubling(1, lists)]
        case "ivfpq":
            tried = [Effort(reach, spread) for reach in _doubling(1, lists) for spread in (2, 8, 32)]
            # A code is compared in d / 8 steps, a candidate in d, with a row fetched from the store.
            a_list = n_rows / (8 * lists)
            return sorted(tried, key=lambda effort: effort.reach * a_list + 10 * effort.spread)
        case _:
            raise ValueError(f"kind {kind!r} searches all rows")


def _doubling(first: int, last: int) -> list[int]:
    found = [first]
    while found[-1] < last:
        found.append(min(2 * found[-1], last))
    return found
