"""Exact nearest neighbours in a feature matrix, by Euclidean distance or by cosine similarity.

faiss proposes, float64 disposes: faiss finds somewhat more than k candidates in float32, whose distances are
then computed again from the differences in float64. faiss takes squared distances as |x|^2 + |q|^2 - 2 x.q,
which cancels for near duplicates: a row's distance from itself comes out as anything but 0. Where the last
candidate is not farther than the k-th neighbour by more than faiss can err, more candidates are asked for, so
that the answer is that of brute force in float64, and equal rows always come in the order of the index.

Reference: J. Johnson, M. Douze, H. Jegou: Billion-scale similarity search with GPUs, 2017.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

# torch before faiss: both bring a CUDA runtime and an OpenMP, the first one loaded serves both, and torch is
# built against exactly its own.
import torch  # noqa: F401  isort: skip
import faiss  # isort: skip
from numpy.typing import NDArray

from imageclef.errors import ArtifactError, DataError
from imageclef.features.feature_set import Matrix, read_ids, write_ids

Metric = Literal["l2", "cosine"]

_FLAT, _IDS, _ABOUT = "index.faiss", "ids.txt", "index.json"
_BLOCK_ROWS = 8192
_SPARE = 32
_WIDEST = 2048  # faiss on a GPU finds at most this many
_GATHER_NUMBERS = 1 << 22
# faiss errs by less than this times sqrt(d) (|x| + |q|)^2: over five times what was seen, d from 1 to 4,096.
_ROUNDING = 1e-6


class Index:
    """The rows of a feature matrix, ready to be searched.

    Attributes:
        ids: the image of each row.
        metric: what `search` measures.
    """

    def __init__(self, flat: Any, ids: list[str], metric: Metric, device: str = "cpu") -> None:
        self.ids = ids
        self.metric: Metric = metric
        self._flat = flat
        # A view of faiss's own memory, so that the rows are held once.
        n, d = int(flat.ntotal), int(flat.d)
        self._rows: NDArray[np.float32] = faiss.rev_swig_ptr(flat.get_xb(), n * d).reshape(n, d)
        self._searcher = flat
        if device.startswith("cuda") and faiss.get_num_gpus() > 0:
            self._resources = faiss.StandardGpuResources()
            self._searcher = faiss.index_cpu_to_gpu(self._resources, 0, flat)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_features(self) -> int:
        """The width of a row."""
        return int(self._flat.d)

    @classmethod
    def build(
        cls,
        features: Matrix,
        ids: Sequence[str],
        metric: Metric,
        device: str = "cpu",
        progress: Callable[[int], None] | None = None,
    ) -> Index:
        """Index every row of a matrix.

        Args:
            features: (n_images, n_features), an array or a memory map, which is read in blocks.
            ids: the image of each row.
            metric: `l2`, or `cosine`, for which the index holds the rows at length 1 (a row of zeros stays).
            device: where to search; `cuda` means the GPU where faiss sees one, and the CPU elsewhere.
            progress: told how many rows were added.

        Raises:
            DataError: the matrix is empty, has a number that is not finite, or does not fit the ids.
        """
        if len(features.shape) != 2 or 0 in features.shape or len(ids) != len(features):
            shape = f"shape {features.shape} with {len(ids)} ids"
            raise DataError(
                f"features of {shape} cannot be indexed; expected (n_images, n_features) and n ids"
            )
        n, d = features.shape
        flat = faiss.IndexFlatL2(d) if metric == "l2" else faiss.IndexFlatIP(d)
        # Not add(): its buffer doubles as it grows, and the old and the new one are in memory together.
        flat.codes.resize(n * d * 4)
        flat.ntotal = n
        index = cls(flat, list(ids), metric)
        for start in range(0, n, _BLOCK_ROWS):
            block = index._prepared(features[start : start + _BLOCK_ROWS], f"features from row {start}")
            index._rows[start : start + len(block)] = block
            if progress is not None:
                progress(len(block))
        return cls(flat, index.ids, metric, device)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k nearest rows of each query; rows that are equally near come in the order of the index.

        Args:
            queries: (n_queries, n_features).
            k: at least 1; no more than there are rows are returned.

        Returns:
            Distances and rows, each (n_queries, min(k, n_images)), the nearest first. For `l2` the distance
            is Euclidean (not squared) and rises; for `cosine` it is the similarity, from 1 to -1, and falls;
            a vector of zeros has similarity 0 to everything.

        Raises:
            DataError: the queries do not fit the index, or k is less than 1.
        """
        if k < 1:
            raise DataError(f"k is {k}; expected at least 1")
        if queries.ndim != 2 or queries.shape[1] != self.n_features:
            raise DataError(f"queries of shape {queries.shape}; expected (n_queries, {self.n_features})")
        k = min(k, len(self))
        gaps, rows = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
        for start in range(0, len(queries), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            prepared = self._prepared(queries[block], f"queries from row {start}")
            gaps[block], rows[block] = self._nearest(prepared, k)
        distances = np.sqrt(gaps) if self.metric == "l2" else 1 - gaps / 2
        return distances.astype(np.float32), rows

    def save(self, folder: Path) -> None:
        """Write `index.faiss`, `ids.txt` and `index.json` into a folder, made where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        faiss.write_index(self._flat, str(folder / _FLAT))
        write_ids(folder / _IDS, self.ids)
        about = {"format": 1, "metric": self.metric, "n_images": len(self), "n_features": self.n_features}
        (folder / _ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Index:
        """Read what `save` wrote.

        Raises:
            ArtifactError: a file is missing, damaged, or does not fit the others.
        """
        ids, path = read_ids(folder / _IDS), folder / _ABOUT
        try:
            metric = json.loads(path.read_text(encoding="utf-8"))["metric"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"{path}: {error}; expected JSON with the metric of an index") from None
        kinds = {"l2": faiss.METRIC_L2, "cosine": faiss.METRIC_INNER_PRODUCT}
        if metric not in kinds:
            raise ArtifactError(f"{path}: metric {metric!r}; expected 'l2' or 'cosine'")
        path = folder / _FLAT
        try:
            flat = faiss.read_index(str(path))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ArtifactError(f"{path}: {reason}; expected a faiss index") from None
        if (
            not isinstance(flat, faiss.IndexFlat)
            or flat.metric_type != kinds[metric]
            or flat.ntotal != len(ids)
        ):
            found = f"{type(flat).__name__} of {flat.ntotal} rows"
            raise ArtifactError(f"{path}: {found}; expected a flat {metric} index of {len(ids)} rows")
        return cls(flat, ids, metric, device)

    def _prepared(self, vectors: NDArray[Any], where: str) -> NDArray[np.float32]:
        """Finite float32, (n, n_features); at length 1 for the cosine."""
        block = np.ascontiguousarray(vectors, dtype=np.float32)
        if not np.isfinite(block).all():
            raise DataError(f"{where}: a number is not finite; expected finite numbers")
        if self.metric == "l2":
            return block
        # In float64, whose range the square of no float32 leaves.
        lengths = np.linalg.norm(block.astype(np.float64), axis=1, keepdims=True)
        unit = np.zeros_like(block)
        np.divide(block, lengths, out=unit, where=lengths > 0, casting="same_kind")
        return unit

    def _nearest(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Gaps and rows, each (n_queries, k), by rising gap; queries as `_prepared` leaves them.

        A gap is the squared Euclidean distance; between vectors of length 1 that is 2 - 2 similarity.
        """
        gaps, rows = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
        pending, width = np.arange(len(queries)), k + _SPARE
        while len(pending) and width < min(len(self), _WIDEST):
            asked = queries[pending]
            proposed, candidates = self._searcher.search(asked, width)
            farthest = proposed[:, -1].astype(np.float64)
            near_gaps, near_rows = self._ranked(asked, candidates, k)
            farthest = farthest if self.metric == "l2" else 2 - 2 * farthest
            # faiss fills up with row -1 where squares leave the range of float32.
            certain = self._beyond(asked, near_gaps[:, -1], farthest) & (candidates >= 0).all(axis=1)
            gaps[pending[certain]], rows[pending[certain]] = near_gaps[certain], near_rows[certain]
            pending, width = pending[~certain], 8 * width
        if len(pending):
            # Queries that tie with thousands of rows are mostly one and the same: images without a keypoint.
            distinct, which = np.unique(queries[pending], axis=0, return_inverse=True)
            found = [self._brute_force(query, k) for query in distinct]
            gaps[pending] = np.stack([gap for gap, _ in found])[which]
            rows[pending] = np.stack([row for _, row in found])[which]
        return gaps, rows

    def _beyond(
        self, queries: NDArray[np.float32], kth: NDArray[np.float64], farthest: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """True where every row that faiss did not propose must be farther than the k-th neighbour."""
        lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
        # A row that was missed is nearer than the k-th neighbour, hence no longer than |q| and that distance.
        slack = _ROUNDING * np.sqrt(self.n_features) * (2 * lengths + np.sqrt(kth)) ** 2
        return np.asarray(farthest - slack > kth)

    def _ranked(
        self, queries: NDArray[np.float32], candidates: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The k nearest of the candidates (n_queries, width), by gap and row."""
        gaps = np.empty(candidates.shape)
        for block in _blocks(len(queries), candidates.shape[1] * self.n_features):
            gaps[block] = self._gaps(queries[block, None], self._rows[candidates[block]])
        order = np.lexsort((candidates, gaps), axis=1)[:, :k]
        return np.take_along_axis(gaps, order, axis=1), np.take_along_axis(candidates, order, axis=1)

    def _brute_force(
        self, query: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        gaps = np.concatenate(
            [self._gaps(query, self._rows[block]) for block in _blocks(len(self), self.n_features)]
        )
        order = np.argsort(gaps, kind="stable")[:k]
        return gaps[order], order

    def _gaps(self, queries: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Squared distances along the last axis, from differences, in float64."""
        differences = np.subtract(rows, queries, dtype=np.float64)
        gaps: NDArray[np.float64] = np.einsum("...d,...d->...", differences, differences)
        if self.metric == "cosine":
            gaps[np.broadcast_to(~(rows.any(axis=-1) & queries.any(axis=-1)), gaps.shape)] = 2.0
        return gaps


def _blocks(n: int, numbers_each: int) -> Iterator[slice]:
    """Slices of 0..n whose items have a bounded number of numbers together."""
    step = max(1, _GATHER_NUMBERS // numbers_each)
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
