"""What an index consists of, in memory and on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageclef.retrieval.faiss_index import Structure
from imageclef.retrieval.kinds import Kind
from imageclef.retrieval.recall import Recall
from imageclef.retrieval.segments import Rows, Segment
from imageclef.retrieval.vectors import Metric


@dataclass
class HeldStructure:
    """An approximate structure, read from disk when it is first asked for.

    Attributes:
        kind: of the index.
        n_rows: how many of the first rows it holds.
        path: where it lies; None while it is in memory only.
        loaded: the structure itself, once it is in memory.
    """

    kind: Kind
    n_rows: int
    path: Path | None = None
    loaded: Structure | None = None

    def open(self) -> Structure:
        """The structure.

        Raises:
            ArtifactError: its file is missing or damaged.
        """
        if self.loaded is None:
            if self.path is None:
                raise ValueError("a structure is in memory or on disk")
            self.loaded = Structure.read(self.kind, self.path)
        return self.loaded


@dataclass(frozen=True)
class Contents:
    """All of an index, apart from how it is searched.

    Attributes:
        kind: of search.
        metric: what near means.
        n_features: the width of a row.
        dtype: of the rows, float32 or float16.
        made_with: names the features, such as the digest of their learner; empty if nobody said.
        segments: the rows, in order.
        dead: the numbers of rows that were removed, rising.
        structure: for the approximate kinds.
        recall: of the structure, as measured.
        attached: bytes that belong to the index, by name; a path where they are on disk.
        dead_file: the name of the file of `dead`, where it is on disk.
        read_from: the folder and its generation.
    """

    kind: Kind
    metric: Metric
    n_features: int
    dtype: np.dtype[Any]
    made_with: str
    segments: tuple[Segment, ...]
    dead: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    structure: HeldStructure | None = None
    recall: Recall | None = None
    attached: Mapping[str, bytes | Path] = field(default_factory=dict)
    dead_file: str | None = None
    read_from: tuple[str, int] | None = None

    def rows(self) -> Rows:
        """The rows, numbered through."""
        return Rows(self.segments, self.metric, self.n_features)

    @property
    def n_rows(self) -> int:
        """Rows, those that were removed among them."""
        return sum(map(len, self.segments))

    @property
    def live(self) -> NDArray[np.bool_]:
        """Which rows were not removed, (n_rows,)."""
        mask = np.ones(self.n_rows, dtype=np.bool_)
        mask[self.dead] = False
        return mask

    def without(self, numbers: NDArray[np.int64]) -> Contents:
        """The same with more rows removed."""
        return replace(self, dead=np.union1d(self.dead, numbers), dead_file=None)
