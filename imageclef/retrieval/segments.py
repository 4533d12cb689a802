"""The rows of an index: segments that are never changed, one after the other.

What is added becomes a new segment, so that adding costs what is added, in memory and on disk. Rows are
numbered through all segments; removing a row leaves its number vacant until the segments are rewritten.
Float16 rows are held as they came, which halves the store and loses nothing; they are brought to float32, and
to length 1 for the cosine, when they are read. Float32 rows are held as they are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import DataError
from imageclef.features.feature_set import Matrix
from imageclef.retrieval.vectors import Metric, at_length_1, prepared

_READ_ROWS = 8192
_BLOCK_NUMBERS = 1 << 25


@dataclass(frozen=True)
class Segment:
    """Some rows and their ids.

    Attributes:
        rows: float32 or float16, (n, n_features); an array or a memory map.
        ids: the image of each row.
        files: the names of the rows and of the ids, where the segment is part of a folder.
        folder: which folder that is.
    """

    rows: NDArray[Any]
    ids: list[str]
    files: tuple[str, str] | None = None
    folder: str = ""

    def __len__(self) -> int:
        return len(self.ids)


def held(
    features: Matrix,
    ids: Sequence[str],
    metric: Metric,
    dtype: np.dtype[Any],
    progress: Callable[[int], None] | None = None,
) -> Segment:
    """Copy a matrix, block by block, into a segment.

    Args:
        features: (n_images, n_features).
        ids: the image of each row.
        metric: of the index.
        dtype: float32 or float16.
        progress: told how many rows were copied.

    Raises:
        DataError: a number is not finite, or leaves the range of the dtype.
    """
    rows = np.empty(features.shape, dtype)
    for start in range(0, len(features), _READ_ROWS):
        block, where = features[start : start + _READ_ROWS], f"features from row {start}"
        if dtype == np.float16:
            with np.errstate(over="ignore"):
                block = np.asarray(block).astype(np.float16)
            if not np.isfinite(block).all():
                raise DataError(f"{where}: a number is not finite in float16; expected -65504 to 65504")
        else:
            block = prepared(block, metric, where)
        rows[start : start + len(block)] = block
        if progress is not None:
            progress(len(block))
    return Segment(rows, list(ids))


class Rows:
    """All rows of an index, numbered through.

    Attributes:
        segments: in the order of their rows.
        metric: of the index.
        n_features: the width of a row.
    """

    def __init__(self, segments: Sequence[Segment], metric: Metric, n_features: int) -> None:
        self.segments = tuple(segments)
        self.metric: Metric = metric
        self.n_features = n_features
        self._starts = np.cumsum([0, *(len(segment) for segment in self.segments)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def ids(self) -> list[str]:
        """The image of each row, rows that were removed among them."""
        return list(chain.from_iterable(segment.ids for segment in self.segments))

    def after(self, n: int) -> Rows:
        """The rows from number `n` on, numbered from 0; nothing is copied."""
        kept: list[Segment] = []
        for segment, start in zip(self.segments, self._starts[:-1].tolist(), strict=True):
            if start + len(segment) > n:
                first = max(0, n - start)
                kept.append(Segment(segment.rows[first:], segment.ids[first:]))
        return Rows(kept, self.metric, self.n_features)

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows by number, float32 as they are compared, of shape (*numbers.shape, n_features)."""
        flat = numbers.ravel()
        if len(self.segments) == 1:
            found = self._compared(self.segments[0].rows[flat])
        else:
            found = np.empty((len(flat), self.n_features), np.float32)
            which = np.searchsorted(self._starts, flat, side="right") - 1
            for place in np.unique(which):
                mine = which == place
                found[mine] = self._compared(self.segments[place].rows[flat[mine] - self._starts[place]])
        return found.reshape(*numbers.shape, self.n_features)

    def blocks(
        self, numbers: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[int | NDArray[np.int64], NDArray[np.float32]]]:
        """All rows, or those of some numbers, in blocks of a bounded size.

        Yields:
            The number of the first row, or of every row, and the rows, (n, n_features). What is held in
            float32 is not copied.
        """
        step = max(1, _BLOCK_NUMBERS // self.n_features)
        if numbers is not None:
            for start in range(0, len(numbers), step):
                yield numbers[start : start + step], self.take(numbers[start : start + step])
            return
        for segment, first in zip(self.segments, self._starts[:-1].tolist(), strict=True):
            whole = max(1, len(segment)) if segment.rows.dtype == np.float32 else step
            for start in range(0, len(segment), whole):
                yield first + start, self._compared(segment.rows[start : start + whole])

    def widened(self) -> Rows:
        """The same rows held in float32; what is in float32 already is not copied."""
        segments = []
        for segment, first in zip(self.segments, self._starts[:-1].tolist(), strict=True):
            rows = segment.rows
            if rows.dtype != np.float32:
                rows = np.empty(rows.shape, np.float32)
                for start in range(0, len(rows), _READ_ROWS):
                    numbers = np.arange(start, min(start + _READ_ROWS, len(rows)))
                    rows[numbers] = self.take(first + numbers)
            segments.append(Segment(rows, segment.ids))
        return Rows(segments, self.metric, self.n_features)

    def _compared(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        if rows.dtype == np.float32:
            return rows
        wide = rows.astype(np.float32)
        return wide if self.metric == "l2" else at_length_1(wide)
