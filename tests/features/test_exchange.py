from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from imageclef.errors import DataError
from imageclef.features import rows
from imageclef.features.exchange import (
    copy_rows,
    read_hdf5,
    read_npy_with_table,
    write_hdf5,
    write_parquet,
)

IDS = ["a", "b/ü", "c", "d", "e"]
ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK_ROWS", 2)


def shards(folder: Path) -> tuple[list[Path], list[Path]]:
    """Two .npy shards, the first of half floats, with their tables."""
    npy, tables = (
        [folder / "img_0.npy", folder / "img_1.npy"],
        [folder / "m_0.parquet", folder / "m_1.parquet"],
    )
    np.save(npy[0], ROWS[:3].astype(np.float16))
    np.save(npy[1], ROWS[3:].astype(np.float16))
    pd.DataFrame({"image_path": IDS[:3], "caption": "x"}).to_parquet(tables[0])
    pd.DataFrame({"image_path": IDS[3:], "caption": "y"}).to_parquet(tables[1])
    return npy, tables


def test_hdf5_there_and_back(tmp_path: Path) -> None:
    done: list[int] = []
    write_hdf5(tmp_path / "f.h5", IDS, ROWS, done.append)
    assert done == [2, 2, 1]
    ids, rows = read_hdf5(tmp_path / "f.h5")
    assert ids == IDS
    assert rows.shape == (5, 3)
    np.testing.assert_array_equal(rows[1:4], ROWS[1:4])


def test_hdf5_has_the_form_of_2018(tmp_path: Path) -> None:
    write_hdf5(tmp_path / "f.h5", IDS, ROWS)
    with h5py.File(tmp_path / "f.h5") as file:
        assert sorted(file) == ["data", "id"]
        assert file["data"].dtype == np.float32
        kind = h5py.check_string_dtype(file["id"].dtype)
        assert (kind.encoding, kind.length) == ("utf-8", None)
        assert file["id"][1] == "b/ü".encode()


def test_hdf5_of_others_becomes_a_feature_set(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["data"] = ROWS.astype(np.float64)
        file["id"] = np.array([name.encode() for name in IDS], dtype="S8")
    found = copy_rows(tmp_path / "set", *read_hdf5(tmp_path / "f.h5"))
    assert found.ids == IDS
    assert found.features.dtype == np.float32
    np.testing.assert_array_equal(found.features, ROWS)


def test_hdf5_of_another_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    path.write_text("ID,feature\n")
    with pytest.raises(DataError, match=r"f\.h5: .*expected an HDF5 file with /data and /id"):
        read_hdf5(path)
    with pytest.raises(DataError, match=r"missing\.h5: .*expected an HDF5 file"):
        read_hdf5(tmp_path / "missing.h5")
    forms: list[tuple[dict[str, object], str]] = [
        ({"features": ROWS}, "holds 'features'; expected the data sets /data and /id"),
        ({}, "holds nothing; expected the data sets"),
        ({"data": ROWS[0], "id": IDS}, r"/data: float32 of shape \(3,\); expected floats of shape \(n, d\)"),
        ({"data": ROWS.astype(int), "id": IDS}, r"/data: int64 of shape \(5, 3\); expected floats"),
        ({"data": ROWS, "id": np.arange(5)}, r"/id is int64 of shape \(5,\); expected one text for each row"),
        ({"data": ROWS, "id": IDS[:4]}, "/id: 4 ids; expected 5, one for each row"),
        ({"data": ROWS, "id": ["a", "b", "a", "d", "e"]}, "/id: row 2: image 'a' appears twice"),
        ({"data": ROWS, "id": np.array([b"\xff"] * 5, dtype="S1")}, "/id is not UTF-8"),
    ]
    for content, message in forms:
        with h5py.File(path, "w") as file:
            for name, value in content.items():
                file[name] = value
        with pytest.raises(DataError, match=rf"f\.h5: {message}"):
            read_hdf5(path)


def test_a_row_whose_name_cannot_be_an_id_is_left_out_by_name(tmp_path: Path) -> None:
    names, notes = ["a", 'b"', "e\u0301", "d", "x\u2028y"], list[str]()
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["data"], file["id"] = ROWS, names
    ids, rows = read_hdf5(tmp_path / "f.h5", notes.append)
    assert ids == ["a", "\u00e9", "d"]
    found = copy_rows(tmp_path / "set", ids, rows)
    np.testing.assert_array_equal(found.features, ROWS[[0, 2, 3]])
    assert len(notes) == 2
    assert notes[0].endswith("(NFC): 1")
    assert "row 1, " in notes[1]
    assert "row 4, " in notes[1]


def test_a_file_without_one_usable_name_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["data"], file["id"] = ROWS[:1], ['b"']
    with pytest.raises(DataError, match=r"f\.h5: /id: row 0: "):
        read_hdf5(tmp_path / "f.h5")


def test_shards_beside_tables_are_one_matrix(tmp_path: Path) -> None:
    ids, rows = read_npy_with_table(*shards(tmp_path), "image_path")
    assert ids == IDS
    assert rows.shape == (5, 3)
    expected = ROWS.astype(np.float16)
    for start in range(6):
        for stop in range(start, 8):
            np.testing.assert_array_equal(rows[start:stop], expected[start:stop])
    done: list[int] = []
    np.testing.assert_array_equal(copy_rows(tmp_path / "set", ids, rows, done.append).features, expected)
    assert done == [2, 2, 1]


def test_shards_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    npy, tables = shards(tmp_path)
    with pytest.raises(DataError, match=r"2 \.npy shards and 1 tables; expected one table each"):
        read_npy_with_table(npy, tables[:1], "image_path")
    with pytest.raises(DataError, match=r"0 \.npy shards"):
        read_npy_with_table([], [], "image_path")
    with pytest.raises(
        DataError, match=r"m_0\.parquet: no column 'id'; its columns are 'image_path', 'caption'"
    ):
        read_npy_with_table(npy, tables, "id")
    with pytest.raises(DataError, match=r"m_1\.parquet: 2 rows; expected 3, the rows of .*img_0\.npy"):
        read_npy_with_table(npy[:1], tables[1:], "image_path")
    with pytest.raises(DataError, match=r"m_0\.parquet: column 'image_path': row .: image 'a' appears twice"):
        read_npy_with_table(npy[:1] * 2, tables[:1] * 2, "image_path")
    np.save(npy[1], np.zeros((2, 4)))
    with pytest.raises(DataError, match=r"img_1\.npy: rows of 4 numbers; expected 3, as in .*img_0\.npy"):
        read_npy_with_table(npy, tables, "image_path")
    tables[1].write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"m_1\.parquet: .*expected a parquet table"):
        read_npy_with_table(npy, tables, "image_path")
    with pytest.raises(DataError, match=r"gone\.parquet: .*expected a parquet table"):
        read_npy_with_table(npy[:1], [tmp_path / "gone.parquet"], "image_path")


def test_a_shard_is_never_unpickled(tmp_path: Path) -> None:
    npy, tables = shards(tmp_path)
    np.save(npy[0], np.array([[1], [2], [3]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"img_0\.npy: .*expected a \.npy file of floats"):
        read_npy_with_table(npy, tables, "image_path")
    npy[0].write_bytes(pickle.dumps(ROWS[:3]))
    with pytest.raises(DataError, match=r"img_0\.npy: .*expected a \.npy file of floats"):
        read_npy_with_table(npy, tables, "image_path")
    with npy[0].open("wb") as file:
        np.savez(file, ROWS[:3])
    with pytest.raises(DataError, match=r"img_0\.npy: an archive of arrays"):
        read_npy_with_table(npy, tables, "image_path")


def test_parquet_of_ours_is_read_by_pandas(tmp_path: Path) -> None:
    done: list[int] = []
    write_parquet(tmp_path / "f.parquet", IDS, ROWS, done.append)
    table = pd.read_parquet(tmp_path / "f.parquet")
    assert table["id"].tolist() == IDS
    np.testing.assert_array_equal(np.stack(table["features"].to_list()), ROWS)
    assert done == [2, 2, 1]


def test_ids_that_do_not_fit_the_rows_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"f\.h5: 4 ids; expected 5"):
        write_hdf5(tmp_path / "f.h5", IDS[:4], ROWS)
    with pytest.raises(DataError, match=r"f\.parquet: row .: image 'a' appears twice"):
        write_parquet(tmp_path / "f.parquet", ["a", *IDS[:4]], ROWS)
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_not_finite_as_float32_are_named(tmp_path: Path) -> None:
    for bad in (np.nan, 1e300):
        rows = ROWS.astype(np.float64)
        rows[3, 1] = bad
        with pytest.raises(DataError, match="row 3, image 'd': a feature is not finite"):
            copy_rows(tmp_path, IDS, rows)
