"""All that is asked of faiss, and the only file that imports it.

Exact search, of rows wherever they lie, proposes neighbours in float32. The approximate structures propose
them from a part of the rows only. What is proposed is ranked elsewhere, in float64.

Reference: M. Douze and others: The Faiss library, 2024.
Reference: Y. Malkov, D. Yashunin: Efficient and robust approximate nearest neighbor search using
hierarchical navigable small world graphs, 2016 (`hnsw`).
Reference: H. Jegou, M. Douze, C. Schmid: Product quantization for nearest neighbor search, 2011 (`ivf`,
`ivfpq`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# torch before faiss: both bring a CUDA runtime and an OpenMP, the first one loaded serves both, and torch is
# built against exactly its own.
import torch  # isort: skip

# The OpenBLAS that faiss brings takes newer processors for older ones and leaves half of their speed. It
# reads this when it is loaded; who sets it to something, be it to nothing, keeps what was set.
if torch.backends.cpu.get_cpu_capability() == "AVX512":
    os.environ.setdefault("OPENBLAS_CORETYPE", "SKYLAKEX")
import faiss  # isort: skip
from numpy.typing import NDArray

from imageclef.errors import ArtifactError
from imageclef.retrieval.kinds import Effort, Kind, n_lists, sub_vectors
from imageclef.retrieval.vectors import Metric

Proposals = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Squared distances or similarities and row numbers, (n_queries, width); -1 where no row was found."""

# faiss comes with types for a part of itself only.
_faiss: Any = faiss

_METRICS = {"l2": _faiss.METRIC_L2, "cosine": _faiss.METRIC_INNER_PRODUCT}
_LINKS = 32
_EF_CONSTRUCTION = 80
_TRAINING_ROWS_A_LIST = 64
_CHUNK = 1 << 20


def nearest(queries: NDArray[np.float32], rows: NDArray[np.float32], width: int, metric: Metric) -> Proposals:
    """The nearest of some rows, by exact search in float32 on the CPU; queries and rows as prepared."""
    distances, numbers = _faiss.knn(queries, np.ascontiguousarray(rows), width, metric=_METRICS[metric])
    return distances, numbers


def sees_gpu() -> bool:
    """Whether faiss was built for GPUs and sees one."""
    return bool(_faiss.get_num_gpus() > 0)


class GpuRows:
    """Rows in the memory of the first GPU, searched exactly."""

    def __init__(self, metric: Metric, n_features: int) -> None:
        self._resources = _faiss.StandardGpuResources()
        flat = _faiss.GpuIndexFlatL2 if metric == "l2" else _faiss.GpuIndexFlatIP
        self._index = flat(self._resources, n_features)
        self._metric: Metric = metric

    def add(self, rows: NDArray[np.float32]) -> None:
        """Copy rows (n, n_features) to the GPU, after those that are there."""
        self._index.add(np.ascontiguousarray(rows))

    def nearest(self, queries: NDArray[np.float32], width: int) -> Proposals:
        """Among all rows that were added."""
        found: Proposals = self._index.search(queries, width)
        return found

    def nearest_of(
        self, queries: NDArray[np.float32], rows: NDArray[np.float32], width: int, metric: Metric
    ) -> Proposals:
        """Among rows that are on the CPU."""
        found: Proposals = _faiss.knn_gpu(
            self._resources, queries, np.ascontiguousarray(rows), width, metric=_METRICS[metric]
        )
        return found


class Structure:
    """An approximate index of faiss over the first rows of an index, by their numbers.

    Attributes:
        kind: which one.
    """

    def __init__(self, kind: Kind, index: Any) -> None:
        self.kind: Kind = kind
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def n_lists(self) -> int:
        """The parts that the rows are sorted into; 0 for a graph, which has none."""
        return 0 if self.kind == "hnsw" else int(self._index.nlist)

    @classmethod
    def train(
        cls, kind: Kind, metric: Metric, n_rows: int, sample: NDArray[np.float32], half: bool
    ) -> Structure:
        """An empty structure that has learnt how the rows lie.

        Args:
            kind: an approximate one.
            metric: of the index.
            n_rows: how many rows it will be given, for its size.
            sample: some of them, as prepared, (n_sample, n_features).
            half: whether float16 is enough for the rows; `ivfpq` holds codes and does not ask.
        """
        d, measure = sample.shape[1], _METRICS[metric]
        if kind == "hnsw":
            half_precision = _faiss.ScalarQuantizer.QT_fp16
            index = (
                _faiss.IndexHNSWSQ(d, half_precision, _LINKS, measure)
                if half
                else _faiss.IndexHNSWFlat(d, _LINKS, measure)
            )
            index.hnsw.efConstruction = _EF_CONSTRUCTION
        else:
            index = _inverted(kind, d, measure, n_lists(n_rows), half)
        index.train(sample)
        return cls(kind, index)

    def add(self, rows: NDArray[np.float32]) -> None:
        """Rows (n, n_features), numbered on from those that are in."""
        self._index.add(np.ascontiguousarray(rows))

    def empty(self) -> None:
        """Forget the rows, and keep what was learnt of them."""
        self._index.reset()

    def propose(
        self, queries: NDArray[np.float32], width: int, effort: Effort, allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        """Candidates (n_queries, width) of the rows that are allowed, (n_rows,); -1 where none was found."""
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

    def write(self, write: Callable[[bytes], object]) -> None:
        """Hand all its bytes over, in order."""
        # faiss takes what the function returns for nothing; an error of the function comes back as it is.
        _faiss.write_index(self._index, _faiss.PyCallbackIOWriter(write, _CHUNK))

    @classmethod
    def read(cls, kind: Kind, path: Path) -> Structure:
        """Read what `write` gave.

        Raises:
            ArtifactError: the file is missing, damaged, or of another kind.
        """
        try:
            index = _faiss.read_index(str(path))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ArtifactError(f"{path}: {reason}; expected a faiss index") from None
        expected = {"hnsw": _faiss.IndexHNSW, "ivfpq": _faiss.IndexIVFPQ}.get(kind, _faiss.IndexIVF)
        if not isinstance(index, expected):
            raise ArtifactError(f"{path}: {type(index).__name__}; expected an index of kind {kind}")
        return cls(kind, index)


def _inverted(kind: Kind, d: int, measure: int, lists: int, half: bool) -> Any:
    quantizer = _faiss.IndexFlat(d, measure)
    if kind == "ivfpq":
        index = _faiss.IndexIVFPQ(quantizer, d, lists, sub_vectors(d), 8, measure)
        index.pq.cp.min_points_per_centroid = 1
    elif half:
        half_precision = _faiss.ScalarQuantizer.QT_fp16
        index = _faiss.IndexIVFScalarQuantizer(quantizer, d, lists, half_precision, measure, False)
    else:
        index = _faiss.IndexIVFFlat(quantizer, d, lists, measure)
    # The index owns its quantizer, which Python would else free first.
    quantizer.this.disown()
    index.own_fields = True
    index.cp.min_points_per_centroid = 1
    index.cp.max_points_per_centroid = _TRAINING_ROWS_A_LIST
    return index
