from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imageclef.errors import ArtifactError, DataError
from imageclef.features.feature_set import FeatureSet

IDS = ["b/1", "a 2", "ü\u3000x"]


def write(folder: Path, ids: list[str] = IDS) -> np.ndarray:
    rows = FeatureSet.create(folder, ids, 4)
    rows[:] = np.arange(len(ids) * 4).reshape(len(ids), 4)
    rows.flush()
    return np.array(rows)


def test_rows_come_back_memory_mapped_beside_their_ids(tmp_path: Path) -> None:
    expected = write(tmp_path / "new" / "set")
    found = FeatureSet.open(tmp_path / "new" / "set")
    assert found.ids == IDS
    assert len(found) == 3
    assert found.n_features == 4
    assert isinstance(found.features, np.memmap)
    assert found.features.dtype == np.float32
    np.testing.assert_array_equal(found.features, expected)
    with pytest.raises(ValueError, match="read-only"):
        found.features[0, 0] = 1


def test_the_files_are_plain(tmp_path: Path) -> None:
    expected = write(tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "features.npy", allow_pickle=False), expected)
    assert (tmp_path / "ids.txt").read_bytes().decode() == "b/1\na 2\nü\u3000x\n"


def test_a_set_without_images(tmp_path: Path) -> None:
    FeatureSet.create(tmp_path, [], 7).flush()
    found = FeatureSet.open(tmp_path)
    assert (len(found), found.n_features) == (0, 7)


def test_rows_of_ids(tmp_path: Path) -> None:
    write(tmp_path)
    found = FeatureSet.open(tmp_path)
    rows = found.rows_of(["ü\u3000x", "b/1", "ü\u3000x"])
    assert rows.dtype == np.int64
    assert rows.tolist() == [2, 0, 2]
    assert found.rows_of([]).shape == (0,)
    with pytest.raises(DataError, match="image 'b/2' has no features; expected one of the 3 in the set"):
        found.rows_of(["b/1", "b/2"])


def test_create_refuses_ids_that_cannot_be_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 2: image 'a' appears twice"):
        FeatureSet.create(tmp_path, ["a", "b", "a"], 2)
    with pytest.raises(DataError, match=r"row 1: 'a\\nb'"):
        FeatureSet.create(tmp_path, ["a", "a\nb"], 2)
    assert list(tmp_path.iterdir()) == []


def test_open_refuses_files_that_do_not_fit(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "ids.txt").write_text("a\nb\n")
    with pytest.raises(ArtifactError, match=r"ids\.txt: 2 ids; expected 3, the rows of features\.npy"):
        FeatureSet.open(tmp_path)
    (tmp_path / "ids.txt").write_text("a\nb\na\n")
    with pytest.raises(ArtifactError, match=r"ids\.txt:3: image 'a' appears twice"):
        FeatureSet.open(tmp_path)
    (tmp_path / "ids.txt").write_bytes(b"\xff\n")
    with pytest.raises(ArtifactError, match=r"ids\.txt: not UTF-8"):
        FeatureSet.open(tmp_path)
    (tmp_path / "ids.txt").unlink()
    with pytest.raises(ArtifactError, match=r"ids\.txt: No such file"):
        FeatureSet.open(tmp_path)


@pytest.mark.parametrize(
    "array", [np.zeros((3, 2)), np.zeros(3, np.float32), np.array([["a"]], dtype=object)]
)
def test_open_refuses_other_arrays(tmp_path: Path, array: np.ndarray) -> None:
    write(tmp_path)
    np.save(tmp_path / "features.npy", array, allow_pickle=True)
    with pytest.raises(ArtifactError, match=r"features\.npy: .*expected .*float32"):
        FeatureSet.open(tmp_path)


def test_open_refuses_what_is_damaged(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "features.npy"
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:40], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"features\.npy: .*expected a \.npy file of float32"):
            FeatureSet.open(tmp_path)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"features\.npy: missing"):
        FeatureSet.open(tmp_path)
    with path.open("wb") as file:
        np.savez(file, features=np.zeros((3, 4), np.float32))
    with pytest.raises(ArtifactError, match=r"features\.npy: an archive of arrays"):
        FeatureSet.open(tmp_path)


LIMITED = """
import resource, sys
from pathlib import Path
from imageclef.errors import ArtifactError
from imageclef.features.feature_set import FeatureSet

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    FeatureSet.create(Path(sys.argv[1]), [str(n) for n in range(1000)], 64)[:] = 1
except ArtifactError as error:
    print(error)
"""


def test_a_set_that_does_not_fit_is_one_line_and_no_crash(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r".*features\.npy: File too large; 0\.3 MB are needed\n", done.stdout)


def test_the_blocks_of_a_set_are_taken_at_once(tmp_path: Path) -> None:
    FeatureSet.create(tmp_path, [str(n) for n in range(1000)], 64)
    assert (tmp_path / "features.npy").stat().st_blocks * 512 >= 1000 * 64 * 4
