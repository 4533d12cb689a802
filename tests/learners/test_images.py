from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.learners.images import DeviceImages, TrainingImages, on_device

PIXELS = np.random.default_rng(0).integers(0, 256, (1030, 2, 2, 1), dtype=np.uint8)
META = torch.device("meta")


class Stored:
    """As a store: rows are read by slices, and batches are made of them."""

    def __init__(self) -> None:
        self.shape = PIXELS.shape

    def __len__(self) -> int:
        return len(PIXELS)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        return PIXELS[rows]

    def batch(self, rows: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(self[rows]).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)


def test_the_cpu_reads_the_store_itself() -> None:
    store = Stored()
    assert on_device(store, store, torch.device("cpu")) is store


@pytest.mark.parametrize(("free", "copied"), [(2 * PIXELS.nbytes, True), (2 * PIXELS.nbytes - 2, False)])
def test_a_store_is_copied_only_where_it_fits_into_half_of_the_free_memory(free: int, copied: bool) -> None:
    store = Stored()
    assert (on_device(store, store, META, lambda device: free) is not store) == copied


@pytest.mark.gpu
def test_a_copy_on_a_device_has_the_images_of_the_store() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    store, rows = Stored(), np.array([5, 0, 1029, 1024])
    copy = on_device(store, store, torch.device("cuda"))
    assert isinstance(copy, DeviceImages)
    assert torch.equal(copy.batch(rows).cpu(), store.batch(rows))


def test_only_the_training_part_is_reached() -> None:
    store, rows = Stored(), np.array([7, 3, 9])
    labels = csr_array(np.eye(3, dtype=np.uint8))
    part = TrainingImages(store, rows, labels)
    assert len(part) == 3
    assert torch.equal(part.batch(np.array([2, 0])), store.batch(np.array([9, 7])))
    np.testing.assert_array_equal(part.labels(np.array([2, 0])).toarray(), np.eye(3)[[2, 0]])
    with pytest.raises(IndexError):
        part.batch(np.array([3]))
    with pytest.raises(IndexError):
        part.labels(np.array([3]))
    with pytest.raises(ValueError, match="4 rows of labels for 3 images"):
        TrainingImages(store, rows, csr_array(np.eye(4, dtype=np.uint8)))
