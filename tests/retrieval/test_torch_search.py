from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from imageclef.retrieval import torch_search
from imageclef.retrieval.segments import Rows, held
from imageclef.retrieval.torch_search import TorchRows


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_torch_finds_what_a_table_of_distances_says(
    metric: Literal["l2", "cosine"], dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_search, "_BLOCK_NUMBERS", 1000)
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(n, 6)).astype(dtype) for n in (90, 1, 40)]
    ids = [[f"{place}-{row}" for row in range(len(part))] for place, part in enumerate(parts)]
    segments = [held(part, names, metric, np.dtype(dtype)) for part, names in zip(parts, ids, strict=True)]
    rows = Rows(segments, metric, 6)
    queries = rng.normal(size=(25, 6)).astype(np.float32)
    every = rows.take(np.arange(131)).astype(np.float64)
    if metric == "l2":
        table = ((every[None] - queries[:, None].astype(np.float64)) ** 2).sum(axis=2)
    else:
        table = queries.astype(np.float64) @ every.T
    rank = table if metric == "l2" else -table
    searched = TorchRows(rows, "cpu")
    for numbers in (None, np.arange(3, 131, 4)):
        allowed = np.arange(131) if numbers is None else numbers
        distances, found = searched.nearest(queries, 5, numbers)
        expected = allowed[np.argsort(rank[:, allowed], axis=1)[:, :5]]
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(distances, np.take_along_axis(table, expected, axis=1), atol=1e-5)
