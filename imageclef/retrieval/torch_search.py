"""Exact search by torch, on whatever device it computes on: for GPUs that faiss does not see."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from imageclef.retrieval.segments import Rows
from imageclef.retrieval.vectors import Metric

_BLOCK_NUMBERS = 1 << 27


class TorchRows:
    """The rows of an index in the memory of a device."""

    def __init__(self, rows: Rows, device: str) -> None:
        self._metric: Metric = rows.metric
        self._device = torch.device(device)
        self._rows = torch.empty((len(rows), rows.n_features), dtype=torch.float32, device=self._device)
        for first, block in rows.blocks():
            assert isinstance(first, int)
            # A copy: torch takes no array that it may not write to.
            self._rows[first : first + len(block)] = torch.from_numpy(np.array(block))
        self._squares = self._rows.square().sum(1)

    def nearest(
        self, queries: NDArray[np.float32], width: int, numbers: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The nearest rows, or the nearest of some.

        Args:
            queries: as prepared, (n_queries, n_features).
            width: at most the number of rows that are searched.
            numbers: of the rows that are searched; None for all.

        Returns:
            Squared distances, or similarities for the cosine, and row numbers, (n_queries, width).
        """
        rows, squares, chosen = self._rows, self._squares, None
        if numbers is not None:
            chosen = torch.from_numpy(numbers).to(self._device)
            rows, squares = rows[chosen], squares[chosen]
        step = max(1, _BLOCK_NUMBERS // max(1, len(rows)))
        found = [
            self._block(torch.from_numpy(block).to(self._device), rows, squares, width)
            for block in np.split(queries, range(step, len(queries), step))
        ]
        distances = torch.cat([distances for distances, _ in found])
        places = torch.cat([places for _, places in found])
        places = places if chosen is None else chosen[places]
        return distances.cpu().numpy(), places.cpu().numpy()

    def _block(
        self, queries: torch.Tensor, rows: torch.Tensor, squares: torch.Tensor, width: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        scores = queries @ rows.T
        if self._metric == "cosine":
            top = scores.topk(width, dim=1)
            return top.values, top.indices
        scores.mul_(-2).add_(squares).add_(queries.square().sum(1, keepdim=True))
        top = scores.topk(width, dim=1, largest=False)
        return top.values, top.indices
