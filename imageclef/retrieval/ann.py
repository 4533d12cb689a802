"""Approximate nearest neighbors by faiss: an index of faiss proposes rows, float64 ranks them.

k rows come back where k exist: a search that finds too few is repeated with more effort, and at last exactly.
Under a filter the search works as much harder as rows are fewer; few allowed rows are all compared. This is
the only file that imports faiss.

Reference: M. Douze and others: The Faiss library, 2024.
Reference: Y. Malkov, D. Yashunin: Efficient and robust approximate nearest neighbor search using
hierarchical navigable small world graphs, 2016 (`hnsw`).
Reference: H. Jegou, M. Douze, C. Schmid: Product quantization for nearest neighbor search, 2011 (`ivf`,
`ivfpq`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

# torch before faiss: both bring a CUDA runtime and an OpenMP, the first one loaded serves both, and torch is
# built against exactly its own.
import torch  # noqa: F401  # isort: skip
import faiss  # isort: skip
from numpy.typing import NDArray

from imageclef.errors import ArtifactError
from imageclef.features.feature_set import Matrix
from imageclef.retrieval.exact import ExactSearch, Neighbors, ranked
from imageclef.retrieval.kinds import Effort, Kind, n_lists, sub_vectors
from imageclef.retrieval.vectors import Metric

# faiss comes with types for a part of itself only.
_faiss: Any = faiss

_METRICS = {"l2": _faiss.METRIC_L2, "cosine": _faiss.METRIC_INNER_PRODUCT}
_LINKS = 32
_EF_CONSTRUCTION = 80
_TRAINING_ROWS_A_LIST = 64
_TRAINING_ROWS = 1 << 17
_ROWS_AT_ONCE = 1 << 16
_SPARE = 8
_FEW = 4096
_FEW_SHARE = 0.02
_QUERIES_AT_ONCE = 1024
_MOST_VISITED = 1 << 14


class Ann:
    """An approximate index of faiss over the rows of an index.

    Attributes:
        kind: of the index.
    """

    def __init__(self, kind: Kind, index: Any) -> None:
        self.kind: Kind = kind
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def n_lists(self) -> int:
        """The number of lists that the rows are sorted into; 0 for a graph."""
        return 0 if self.kind == "hnsw" else int(self._index.nlist)

    @classmethod
    def train(cls, kind: Kind, metric: Metric, rows: Matrix, seed: int) -> Ann:
        """Make an empty index that has learned the distribution of the rows from a sample.

        Args:
            kind: an approximate one.
            metric: of the index.
            rows: as prepared, (n_rows, n_features).
            seed: of the sample.
        """
        d, measure = rows.shape[1], _METRICS[metric]
        if kind == "hnsw":
            index = _faiss.IndexHNSWFlat(d, _LINKS, measure)
            index.hnsw.efConstruction = _EF_CONSTRUCTION
        else:
            index = _inverted(kind, d, measure, n_lists(len(rows)))
            sample = np.random.default_rng(seed).permutation(len(rows))[:_TRAINING_ROWS]
            index.train(np.ascontiguousarray(rows[np.sort(sample)]))
        return cls(kind, index)

    def extend(self, rows: Matrix) -> None:
        """Add the rows (n_rows, n_features) that come after those that it holds."""
        for start in range(len(self), len(rows), _ROWS_AT_ONCE):
            self._index.add(np.ascontiguousarray(rows[start : start + _ROWS_AT_ONCE]))

    def empty(self) -> None:
        """Remove all rows and keep what was learned."""
        self._index.reset()

    def propose(
        self, queries: NDArray[np.float32], width: int, effort: Effort, allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        """Find candidates (n_queries, width) among the rows that are allowed, (n_rows,); -1 for none."""
        wanted: dict[str, Any] = {}
        if allowed is not None:
            # Held in a name: faiss reads the bits without copying them.
            bits = np.packbits(allowed, bitorder="little")
            wanted["sel"] = _faiss.IDSelectorBitmap(bits)
        if self.kind == "hnsw":
            parameters = _faiss.SearchParametersHNSW(efSearch=max(effort.reach, width), **wanted)
        else:
            parameters = _faiss.SearchParametersIVF(nprobe=min(effort.reach, self.n_lists), **wanted)
        _, numbers = self._index.search(queries, width, params=parameters)
        return np.asarray(numbers, dtype=np.int64)

    def write(self, path: Path) -> None:
        """Write it into a file.

        Raises:
            OSError: there is no room.
        """
        with path.open("wb") as file:
            # faiss hands an error of the function back as it is.
            _faiss.write_index(self._index, _faiss.PyCallbackIOWriter(file.write, 1 << 20))

    @classmethod
    def read(cls, kind: Kind, path: Path) -> Ann:
        """Read what `write` wrote.

        Raises:
            ArtifactError: the file is missing, damaged, or of another kind.
        """
        try:
            index = _faiss.read_index(str(path))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ArtifactError(f"{path}: {reason}; expected an index of faiss") from None
        expected = {"hnsw": _faiss.IndexHNSW, "ivfpq": _faiss.IndexIVFPQ}.get(kind, _faiss.IndexIVF)
        if not isinstance(index, expected):
            raise ArtifactError(f"{path}: {type(index).__name__}; expected an index of kind {kind}")
        return cls(kind, index)


def _inverted(kind: Kind, d: int, measure: int, lists: int) -> Any:
    quantizer = _faiss.IndexFlat(d, measure)
    if kind == "ivfpq":
        index = _faiss.IndexIVFPQ(quantizer, d, lists, sub_vectors(d), 8, measure)
        index.pq.cp.min_points_per_centroid = 1
    else:
        index = _faiss.IndexIVFFlat(quantizer, d, lists, measure)
    # The index owns its quantizer, which Python would otherwise free first.
    quantizer.this.disown()
    index.own_fields = True
    index.cp.min_points_per_centroid = 1
    index.cp.max_points_per_centroid = _TRAINING_ROWS_A_LIST
    return index


class AnnSearch:
    """Approximate search over prepared rows."""

    def __init__(self, rows: Matrix, metric: Metric, ann: Ann, effort: Effort, exact: ExactSearch) -> None:
        self._rows, self._metric = rows, metric
        self._ann, self._effort, self._exact = ann, effort, exact

    def nearest(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None) -> Neighbors:
        """Find k near rows of each query; the arguments are those of `ExactSearch.nearest`."""
        n = len(self._rows)
        n_allowed = n if allowed is None else int(np.count_nonzero(allowed))
        if n_allowed <= max(_FEW, _FEW_SHARE * n, 2 * k) and n_allowed < n:
            return self._exact.nearest(queries, k, allowed)
        squares, rows = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            block = slice(start, start + _QUERIES_AT_ONCE)
            squares[block], rows[block] = self._block(queries[block], k, allowed, n / n_allowed)
        return squares, rows

    def _block(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None, harder: float
    ) -> Neighbors:
        squares, rows = np.full((len(queries), k), np.inf), np.full((len(queries), k), -1, dtype=np.int64)
        pending, reach = np.arange(len(queries)), round(self._effort.reach * harder)
        most = self._ann.n_lists or min(len(self._ann), _MOST_VISITED)
        width = min(len(self._ann), k * self._effort.spread + _SPARE)
        while len(pending):
            effort = Effort(min(reach, most), self._effort.spread)
            candidates = self._ann.propose(queries[pending], width, effort, allowed)
            found = ranked(queries[pending], candidates, k, self._rows, self._metric)
            squares[pending], rows[pending] = found
            pending = pending[np.isinf(found[0]).any(axis=1)]
            if reach >= most:
                break
            reach *= 4
        if len(pending):
            squares[pending], rows[pending] = self._exact.nearest(queries[pending], k, allowed)
        return squares, rows
