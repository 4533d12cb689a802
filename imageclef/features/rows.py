"""Rows of floats in other people's files: what is asked of them before they are copied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from imageclef.errors import DataError

BLOCK_ROWS = 8192


class Rows(Protocol):
    """A matrix of floats that hands out blocks of rows: an array, a memory map, an HDF5 data set."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_images, n_features)."""

    def __getitem__(self, rows: slice, /) -> Any:
        """The rows of a slice, an array (n_rows, n_features)."""


@dataclass(frozen=True)
class Joined:
    """Shards below each other, (n_images, n_features)."""

    shards: tuple[NDArray[Any], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_images, n_features)."""
        return sum(map(len, self.shards)), self.shards[0].shape[1]

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """The rows of a slice, from all shards that it touches."""
        start, stop, _ = rows.indices(self.shape[0])
        bounds = [0, *np.cumsum([len(shard) for shard in self.shards]).tolist()]
        parts = [
            shard[max(start - first, 0) : max(stop - first, 0)]
            for shard, (first, last) in zip(self.shards, pairwise(bounds), strict=True)
            if first < stop and start < last
        ]
        return np.concatenate(parts) if parts else self.shards[0][:0]


@dataclass(frozen=True)
class Selected:
    """Some rows of a matrix, in their order, (n_selected, n_features).

    Attributes:
        source: the matrix.
        rows: (n_selected,) row numbers, ascending.
    """

    source: Rows
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_selected, n_features)."""
        return len(self.rows), self.source.shape[1]

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """The selected rows of a slice."""
        wanted = self.rows[rows]
        first, last = (int(wanted[0]), int(wanted[-1]) + 1) if len(wanted) else (0, 0)
        return np.asarray(self.source[first:last])[wanted - first]


@dataclass(frozen=True)
class DataSet:
    """A data set of an HDF5 file, (n_images, n_features); the file stays open as long as this is in use."""

    path: Path
    data: h5py.Dataset

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_images, n_features)."""
        return tuple(self.data.shape)

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """The rows of a slice; a block that is damaged raises `DataError`."""
        with reading_hdf5(self.path):
            return np.asarray(self.data[rows])


@contextmanager
def reading_hdf5(path: Path) -> Iterator[None]:
    """Whatever h5py meets in a damaged file becomes a `DataError`."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # of many kinds: OSError of the file, KeyError to RuntimeError of HDF5
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"{path}: {reason}; expected an HDF5 file with /data and /id") from None


def check_matrix(where: str, matrix: Any) -> None:
    """Refuse what is no matrix of floats."""
    if matrix.shape is None or len(matrix.shape) != 2 or not matrix.shape[1] or matrix.dtype.kind != "f":
        raise DataError(f"{where}: {matrix.dtype} of shape {matrix.shape}; expected floats of shape (n, d)")


def blocks(n_rows: int) -> list[slice]:
    """Slices that cover so many rows."""
    return [slice(start, min(start + BLOCK_ROWS, n_rows)) for start in range(0, n_rows, BLOCK_ROWS)]
