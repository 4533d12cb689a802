"""Features in other people's files: HDF5, `.npy` shards beside a table, and parquet.

- HDF5 as the 2018 team wrote it: `/data` (n, d) of floats and `/id` (n,) of variable-length UTF-8.
- clip-retrieval and its relatives: `.npy` shards, each beside a parquet table whose rows are in its order.

Nothing is read whole: `read_*` returns the ids and something that gives blocks of rows, and `copy_rows`
copies those into a feature set. Nothing here unpickles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imageclef.data.ids import check_ids, composed, fault_in_id
from imageclef.errors import DataError
from imageclef.features.feature_set import DamagedNpy, FeatureSet, open_npy
from imageclef.features.rows import DataSet, Joined, Rows, Selected, blocks, check_matrix, reading_hdf5

_HEAP = b"GCOL\x01"

Progress = Callable[[int], None]
Note = Callable[[str], None]


def read_hdf5(path: Path, note: Note | None = None) -> tuple[list[str], Rows]:
    """Open the features of an HDF5 file with `/data` and `/id`.

    Args:
        path: of the file.
        note: told which ids were matched in composed form, and which rows were left out.

    Returns:
        The ids, and the rows in their order; the file stays open as long as they are in use.

    Raises:
        DataError: the file cannot be read, or is not of this form.
    """
    with reading_hdf5(path):
        file = h5py.File(path, "r")
        data, names = file.get("data"), file.get("id")
        if not isinstance(data, h5py.Dataset) or not isinstance(names, h5py.Dataset):
            raise DataError(f"{path}: holds {_listed(sorted(file))}; expected the data sets /data and /id")
        check_matrix(f"{path}: /data", data)
        if names.shape is None or len(names.shape) != 1 or h5py.check_string_dtype(names.dtype) is None:
            raise DataError(
                f"{path}: /id is {names.dtype} of shape {names.shape}; expected one text for each row"
            )
        _check_heaps(path)
        try:
            ids = [str(name) for name in names.asstr("utf-8")[:]]
        except UnicodeDecodeError:
            raise DataError(f"{path}: /id is not UTF-8; expected UTF-8 texts") from None
        return _usable(f"{path}: /id", ids, DataSet(path, data), note)


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
    check_ids(str(path), ids, features.shape[0])
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", features.shape, dtype="float32")
        file.create_dataset("id", data=list(ids), shape=(len(ids),), dtype=h5py.string_dtype("utf-8"))
        for block in blocks(len(ids)):
            data[block] = np.asarray(features[block], dtype=np.float32)
            _tell(progress, block)


def read_npy_with_table(
    npy_paths: Sequence[Path], parquet_paths: Sequence[Path], id_column: str, note: Note | None = None
) -> tuple[list[str], Rows]:
    """Open `.npy` shards, each beside a parquet table that names its rows.

    Args:
        npy_paths: shards, each (n_rows, n_features), opened memory-mapped.
        parquet_paths: one table for each shard.
        id_column: the column with the ids.
        note: told which ids were matched in composed form, and which rows were left out.

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
    return _usable(f"{parquet_paths[0]}: column '{id_column}'", ids, Joined(tuple(shards)), note)


def read_npy(path: Path, ids: Sequence[str], note: Note | None = None) -> tuple[list[str], Rows]:
    """Open one `.npy` file whose rows are of the images listed elsewhere.

    Raises:
        DataError: the file cannot be read, or has another number of rows than there are ids.
    """
    matrix = _read_shard(path)
    return _usable(str(path), ids, matrix, note)


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
    check_ids(str(path), ids, features.shape[0])
    width = features.shape[1]
    schema = pa.schema([("id", pa.string()), ("features", pa.list_(pa.float32(), width))])
    with pq.ParquetWriter(path, schema) as writer:
        for block in blocks(len(ids)):
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
    for block in blocks(len(ids)):
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


def _usable(where: str, names: Sequence[str], rows: Rows, note: Note | None) -> tuple[list[str], Rows]:
    """The ids in composed form (NFC) and their rows, without the rows whose name cannot be an id.

    Raises:
        DataError: the names and rows differ in number, no name can be an id, or one appears twice.
    """
    ids = [composed(name) for name in names]
    faults = {row: fault for row, image_id in enumerate(ids) if (fault := fault_in_id(image_id))}
    if len(names) != rows.shape[0] or len(faults) == len(ids):
        check_ids(where, ids, rows.shape[0])
    kept = np.array([row for row in range(len(ids)) if row not in faults], dtype=np.int64)
    usable = [ids[row] for row in kept.tolist()]
    check_ids(where, usable, len(kept))
    if note and (changed := [name for name, image_id in zip(names, ids, strict=True) if name != image_id]):
        note(f"{where}: ids in decomposed Unicode, matched in composed form (NFC): {len(changed)}")
    if not faults:
        return usable, rows
    if note:
        named = "; ".join(f"row {row}, {ids[row]!r}: {fault}" for row, fault in list(faults.items())[:3])
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        note(f"{where}: left out {len(faults)} of {len(ids)} rows: {named}{more}")
    return usable, Selected(rows, kept)


def _check_heaps(path: Path) -> None:
    """Refuse a heap of texts with a free piece of no bytes: libhdf5 would look for its end for ever.

    Reference: HDF5 File Format Specification 3.0, III.E "Global Heap".
    """
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        heap = data.find(_HEAP)
        while heap >= 0:
            end = min(len(data), heap + int.from_bytes(data[heap + 8 : heap + 16], "little"))
            place = heap + 16
            while place + 16 <= end:
                index = int.from_bytes(data[place : place + 2], "little")
                size = int.from_bytes(data[place + 8 : place + 16], "little")
                if index == 0 and size == 0:
                    raise DataError(f"{path}: /id is damaged at byte {place}; expected UTF-8 texts")
                # What is free counts its head, what is taken does not; both are filled up to 8 bytes.
                place += -(-size // 8) * 8 + (16 if index else 0)
            heap = data.find(_HEAP, heap + 1)


def _read_shard(path: Path) -> NDArray[Any]:
    try:
        shard = open_npy(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: {error.strerror}; expected a .npy file of floats") from None
    except DamagedNpy as error:
        raise DataError(f"{path}: {error}; expected a .npy file of floats") from None
    check_matrix(str(path), shard)
    return shard


def _read_id_column(path: Path, column: str) -> list[str]:
    try:
        # One file, not a data set: a folder of the same name must not be read as partitions.
        file = pq.ParquetFile(path)
        if column not in file.schema_arrow.names:
            there = _listed(file.schema_arrow.names)
            raise DataError(f"{path}: no column '{column}'; its columns are {there}")
        names = file.read(columns=[column]).column(column).to_pylist()
    except DataError:
        raise
    except Exception as error:  # of many kinds: pyarrow's own, OSError, UnicodeDecodeError of a name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"{path}: {reason}; expected a parquet table") from None
    if None in names:
        raise DataError(f"{path}: row {names.index(None)} has no '{column}'; expected an id in every row")
    return [str(name) for name in names]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "nothing"


def _tell(progress: Progress | None, block: slice) -> None:
    if progress is not None:
        progress(block.stop - block.start)
