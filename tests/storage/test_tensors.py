from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from imageclef.errors import ArtifactError
from imageclef.learners.checkpoint import load_tensors, save_tensors
from imageclef.storage.tensors import load_arrays, save_arrays

ARRAYS: dict[str, NDArray[np.generic]] = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3),
    "step": np.float32(3.5).reshape(()),
    "none": np.zeros((0, 4), np.int64),
    "text": np.frombuffer(b"a\nb", np.uint8),
    "mask": np.array([True, False]),
}


def test_arrays_come_back_as_they_were_written(tmp_path: Path) -> None:
    save_arrays(tmp_path / "a", ARRAYS, {"name": "x"})
    arrays, meta = load_arrays(tmp_path / "a")
    assert meta == {"name": "x"}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        assert (array.dtype, array.shape) == (ARRAYS[name].dtype, ARRAYS[name].shape)
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_a_transposed_array_is_written_in_its_order(tmp_path: Path) -> None:
    save_arrays(tmp_path / "a", {"t": ARRAYS["weights"].T}, {})
    np.testing.assert_array_equal(load_arrays(tmp_path / "a")[0]["t"], [[0, 3], [1, 4], [2, 5]])


def test_tensors_and_arrays_are_one_format(tmp_path: Path) -> None:
    save_tensors(tmp_path / "t", {name: torch.tensor(array) for name, array in ARRAYS.items()}, {"n": 1})
    save_arrays(tmp_path / "a", ARRAYS, {"n": 1})
    assert (tmp_path / "t").read_bytes() == (tmp_path / "a").read_bytes()
    tensors, _ = load_tensors(tmp_path / "a")
    tensors["weights"] += 1  # in memory of its own
    np.testing.assert_array_equal(load_arrays(tmp_path / "a")[0]["weights"], ARRAYS["weights"])


@pytest.mark.parametrize("place", [-1, -9])
def test_a_changed_byte_is_an_error_that_names_the_file(place: int, tmp_path: Path) -> None:
    save_arrays(tmp_path / "a", ARRAYS, {})
    data = bytearray((tmp_path / "a").read_bytes())
    data[place] ^= 1
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ArtifactError, match=str(tmp_path / "a")):
        load_arrays(tmp_path / "a")


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="none"):
        load_arrays(tmp_path / "none")


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="a"):
        save_arrays(tmp_path / "a", ARRAYS, {})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
