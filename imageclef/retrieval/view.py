"""An index as it stands: its rows that were not removed, numbered from 0, and their search."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from imageclef.retrieval.approximate import Approximate
from imageclef.retrieval.contents import Contents
from imageclef.retrieval.exact import Exact, Found
from imageclef.retrieval.segments import Rows
from imageclef.retrieval.vectors import prepared

_BLOCK_ROWS = 8192


class View:
    """The contents of an index, which stay as they are; what a search needs is made when first needed."""

    def __init__(self, contents: Contents, device: str) -> None:
        self._contents = contents
        self._device = device

    @cached_property
    def rows(self) -> Rows:
        """All rows by their numbers, those that were removed among them."""
        return self._contents.rows()

    @cached_property
    def ids(self) -> list[str]:
        """The image of each row that was not removed."""
        every = self.rows.ids
        return every if self._live is None else [every[number] for number in self._live.tolist()]

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each image."""
        return {image_id: row for row, image_id in enumerate(self.ids)}

    def numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers, through all segments, of rows that were not removed."""
        return rows if self._live is None else self._live[rows]

    def nearest(self, queries: NDArray[np.float32], k: int, among: NDArray[np.bool_] | None) -> Found:
        """The k nearest of the rows that may be answered, (n_images,), which are at least k.

        Raises:
            DataError: a number of the queries is not finite.
        """
        gaps, rows = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
        search, allowed = self._approximate or self._exact, self._allowed(among)
        for start in range(0, len(queries) if k else 0, _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            asked = prepared(queries[block], self._contents.metric, f"queries from row {start}")
            gaps[block], rows[block] = search.nearest(asked, k, allowed)
        return gaps, rows if self._live is None else np.searchsorted(self._live, rows)

    @cached_property
    def _live(self) -> NDArray[np.int64] | None:
        """The number of each row through all segments; None where they are the same."""
        return np.flatnonzero(self._contents.live) if len(self._contents.dead) else None

    @cached_property
    def _exact(self) -> Exact:
        return Exact(self.rows, self._device)

    @cached_property
    def _approximate(self) -> Approximate | None:
        held, recall = self._contents.structure, self._contents.recall
        if held is None or recall is None:
            return None
        return Approximate(self.rows, held.open(), recall.effort, self._exact)

    def _allowed(self, among: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """Rows that may be answered, through all segments."""
        if self._live is None:
            return among
        allowed = np.zeros(self._contents.n_rows, dtype=np.bool_)
        allowed[self._live] = True if among is None else among
        return allowed
