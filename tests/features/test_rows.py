from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageclef.errors import DataError
from imageclef.features.exchange import copy_rows, read_hdf5
from imageclef.features.rows import Joined, blocks, check_matrix

MATRIX = np.arange(6 * 512, dtype=np.float32).reshape(6, 512)


@given(
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    start=st.integers(0, 20),
    stop=st.integers(0, 20),
)
def test_shards_are_one_matrix(lengths: list[int], start: int, stop: int) -> None:
    shards = [np.full((length, 2), place) for place, length in enumerate(lengths)]
    whole = np.concatenate(shards)
    joined = Joined(tuple(shards))
    assert joined.shape == whole.shape
    np.testing.assert_array_equal(joined[start:stop], whole[start:stop])


@given(n_rows=st.integers(0, 100_000))
def test_blocks_cover_each_row_once(n_rows: int) -> None:
    covered = [row for block in blocks(n_rows) for row in range(block.start, block.stop)]
    assert covered == list(range(n_rows))


def test_a_damaged_block_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=MATRIX, chunks=(1, 512), compression="gzip", fletcher32=True)
        file.create_dataset("id", data=list("abcdef"), dtype=h5py.string_dtype("utf-8"))
        where = file["data"].id.get_chunk_info(3).byte_offset
    with path.open("r+b") as damaged:
        damaged.seek(where)
        damaged.write(b"\xff" * 8)
    ids, rows = read_hdf5(path)
    np.testing.assert_array_equal(rows[0:3], MATRIX[:3])
    with pytest.raises(DataError, match=r"a\.h5: .*; expected an HDF5 file with /data and /id"):
        copy_rows(tmp_path / "set", ids, rows)


def test_an_empty_data_set_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["data"] = h5py.Empty("f4")
        file.create_dataset("id", data=["a"], dtype=h5py.string_dtype("utf-8"))
    with pytest.raises(DataError, match=r"a\.h5: /data: float32 of shape None; expected floats of shape"):
        read_hdf5(path)


@pytest.mark.parametrize("matrix", [np.zeros(3), np.zeros((2, 2, 2)), np.zeros((2, 2), int)])
def test_a_matrix_is_of_floats(matrix: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"f: .* of shape .*; expected floats of shape \(n, d\)"):
        check_matrix("f", matrix)


@pytest.mark.parametrize("reserved", [b"\0\0\0", b"\0\0\x9b"])
def test_a_heap_that_has_no_end_is_refused(reserved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["data"] = MATRIX[:2]
        file.create_dataset("id", data=["a", "b"], dtype=h5py.string_dtype("utf-8"))
    whole = path.read_bytes()
    free = whole.index(b"GCOL") + 16 + 2 * 24
    assert whole[free : free + 2] == bytes(2), "after the two texts the rest is free"
    damaged = whole[: free + 8] + bytes(8) + whole[free + 16 :]
    path.write_bytes(damaged.replace(b"GCOL\x01\0\0\0", b"GCOL\x01" + reserved))
    with pytest.raises(DataError, match=rf"a\.h5: /id is damaged at byte {free}; expected UTF-8 texts"):
        read_hdf5(path)
