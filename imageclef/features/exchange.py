"""Features in other people's files: HDF5, `.npy` shards beside a table, and parquet.

- HDF5 as the 2018 team wrote it: `/data` (n, d) of floats and `/id` (n,) of variable-length UTF-8.
- clip-retrieval and its relatives: `.npy` shards, each beside a parquet table whose rows are in its order.

Nothing is read whole: `read_*` returns the ids and something that gives blocks of rows, and `copy_rows`
copies those into a feature set. Nothing here unpickles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imageclef.errors import DataError
from imageclef.features.feature_set import FeatureSet

BLOCK_ROWS = 8192

Progress = Callable[[int], None]


class Rows(Protocol):
    """A matrix of floats that hands out blocks of rows: an array, a memory map, an HDF5 data set."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_images, n_features)."""

    def __getitem__(self, rows: slice, /) -> Any:
        """The rows of a slice, an array (n_rows, n_features)."""


def read_hdf5(path: Path) -> tuple[list[str], Rows]:
    """Open the features of an HDF5 file with `/data` and `/id`.

    Returns:
        The ids, and the rows in their order; the file stays open as long as they are in use.

    Raises:
        DataError: the file cannot be read, or is not of this form.
    """
    try:
        file = h5py.File(path, "r")
        data, names = file.get("data"), file.get("id")
    except (OSError, KeyError, RuntimeError) as error:
        raise DataError(f"{path}: {error}; expected an HDF5 file with /data and /id") from None
    if not isinstance(data, h5py.Dataset) or not isinstance(names, h5py.Dataset):
        raise DataError(f"{path}: holds {_listed(sorted(file))}; expected the data sets /data and /id")
    _check_matrix(f"{path}: /data", data)
    if names.ndim != 1 or h5py.check_string_dtype(names.dtype) is None:
        raise DataError(
            f"{path}: /id is {names.dtype} of shape {names.shape}; expected one text for each row"
        )
    try:
        ids = [str(name) for name in names.asstr("utf-8")[:]]
    except UnicodeDecodeError:
        raise DataError(f"{path}: /id is not UTF-8; expected UTF-8 texts") from None
    _check_ids(f"{path}: /id", ids, data.shape[0])
    return ids, data


def write_hdf5(path: Path, ids: Sequence[str], features: Rows, progress: Progress | None = None) -> None:
    """Write features as HDF5 with `/data`, float32, and `/id`.

    Args:
        path: overwritten.
        ids: the image of each row.
        features: (n_images, n_features).
        progress: told how many rows were written.

    Raises:
        DataError: ids and rows do not fit, or an id appears twice.
    """
    _check_ids(str(path), ids, features.shape[0])
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", features.shape, dtype="float32")
        file.create_dataset("id", data=list(ids), shape=(len(ids),), dtype=h5py.string_dtype("utf-8"))
        for block in _blocks(len(ids)):
            data[block] = np.asarray(features[block], dtype=np.float32)
            _tell(progress, block)


def read_npy_with_table(
    npy_paths: Sequence[Path], parquet_paths: Sequence[Path], id_column: str
) -> tuple[list[str], Rows]:
    """Open `.npy` shards, each beside a parquet table that names its rows.

    Args:
        npy_paths: shards, each (n_rows, n_features), opened memory-mapped.
        parquet_paths: one table for each shard.
        id_column: the column with the ids.

    Returns:
        The ids of all shards in order, and their rows as one matrix.

    Raises:
        DataError: a file cannot be read, or does not fit its partner or the first shard.
    """
    if not npy_paths or len(npy_paths) != len(parquet_paths):
        raise DataError(
            f"{len(npy_paths)} .npy shards and {len(parquet_paths)} tables; expected one table each"
        )
    ids: list[str] = []
    shards: list[NDArray[Any]] = []
    for npy_path, parquet_path in zip(npy_paths, parquet_paths, strict=True):
        shard = _read_shard(npy_path)
        names = _read_id_column(parquet_path, id_column)
        if len(names) != len(shard):
            raise DataError(
                f"{parquet_path}: {len(names)} rows; expected {len(shard)}, the rows of {npy_path}"
            )
        if shards and shard.shape[1] != shards[0].shape[1]:
            wide = shards[0].shape[1]
            raise DataError(
                f"{npy_path}: rows of {shard.shape[1]} numbers; expected {wide}, as in {npy_paths[0]}"
            )
        ids += names
        shards.append(shard)
    _check_ids(f"{parquet_paths[0]}: column '{id_column}'", ids, len(ids))
    return ids, _Joined(tuple(shards))


def read_npy(path: Path, ids: Sequence[str]) -> tuple[list[str], Rows]:
    """Open one `.npy` file whose rows are of the images listed elsewhere.

    Raises:
        DataError: the file cannot be read, or has another number of rows than there are ids.
    """
    matrix = _read_shard(path)
    _check_ids(str(path), ids, len(matrix))
    return list(ids), matrix


def write_parquet(path: Path, ids: Sequence[str], features: Rows, progress: Progress | None = None) -> None:
    """Write a parquet table with the columns `id` and `features`, a list of float32.

    Args:
        path: overwritten.
        ids: the image of each row.
        features: (n_images, n_features).
        progress: told how many rows were written.

    Raises:
        DataError: ids and rows do not fit, or an id appears twice.
    """
    _check_ids(str(path), ids, features.shape[0])
    width = features.shape[1]
    schema = pa.schema([("id", pa.string()), ("features", pa.list_(pa.float32(), width))])
    with pq.ParquetWriter(path, schema) as writer:
        for block in _blocks(len(ids)):
            values = pa.array(np.asarray(features[block], dtype=np.float32).ravel())
            column = pa.FixedSizeListArray.from_arrays(values, width)
            writer.write_table(pa.table([pa.array(ids[block], pa.string()), column], schema=schema))
            _tell(progress, block)


def copy_rows(folder: Path, ids: Sequence[str], rows: Rows, progress: Progress | None = None) -> FeatureSet:
    """Copy rows into a feature set, a block at a time.

    Args:
        folder: of the feature set, made where it is missing.
        ids: the image of each row.
        rows: (n_images, n_features).
        progress: told how many rows were copied.

    Raises:
        DataError: a row has a number that is not finite as float32.
    """
    into = FeatureSet.create(folder, ids, rows.shape[1])
    for block in _blocks(len(ids)):
        with np.errstate(over="ignore"):
            into[block] = rows[block]
        bad = np.flatnonzero(~np.isfinite(into[block]).all(axis=1))
        if len(bad):
            row = block.start + int(bad[0])
            raise DataError(
                f"row {row}, image '{ids[row]}': a feature is not finite; expected finite numbers"
            )
        _tell(progress, block)
    into.flush()
    return FeatureSet.open(folder)


@dataclass(frozen=True)
class _Joined:
    """Shards below each other, (n_images, n_features)."""

    shards: tuple[NDArray[Any], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return sum(map(len, self.shards)), self.shards[0].shape[1]

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        bounds = [0, *np.cumsum([len(shard) for shard in self.shards]).tolist()]
        parts = [
            shard[max(start - first, 0) : max(stop - first, 0)]
            for shard, (first, last) in zip(self.shards, pairwise(bounds), strict=True)
            if first < stop and start < last
        ]
        return np.concatenate(parts) if parts else self.shards[0][:0]


def _read_shard(path: Path) -> NDArray[Any]:
    try:
        shard = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: {error}; expected a .npy file of floats") from None
    if not isinstance(shard, np.ndarray):
        raise DataError(f"{path}: an archive of arrays; expected one .npy array")
    _check_matrix(str(path), shard)
    return shard


def _read_id_column(path: Path, column: str) -> list[str]:
    try:
        # One file, not a data set: a folder of the same name must not be read as partitions.
        file = pq.ParquetFile(path)
        if column not in file.schema_arrow.names:
            there = _listed(file.schema_arrow.names)
            raise DataError(f"{path}: no column '{column}'; its columns are {there}")
        return [str(name) for name in file.read(columns=[column]).column(column).to_pylist()]
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: {reason}; expected a parquet table") from None


def _check_matrix(where: str, matrix: Any) -> None:
    if matrix.ndim != 2 or matrix.dtype.kind != "f":
        raise DataError(f"{where}: {matrix.dtype} of shape {matrix.shape}; expected floats of shape (n, d)")


def _check_ids(where: str, ids: Sequence[str], n_rows: int) -> None:
    if len(ids) != n_rows:
        raise DataError(f"{where}: {len(ids)} ids; expected {n_rows}, one for each row of features")
    if len(set(ids)) < n_rows:
        twice = next(image_id for image_id, count in Counter(ids).items() if count > 1)
        raise DataError(f"{where}: image '{twice}' appears twice; expected a different id in every row")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "nothing"


def _blocks(n_rows: int) -> list[slice]:
    return [slice(start, min(start + BLOCK_ROWS, n_rows)) for start in range(0, n_rows, BLOCK_ROWS)]


def _tell(progress: Progress | None, block: slice) -> None:
    if progress is not None:
        progress(block.stop - block.start)
