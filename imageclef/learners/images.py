"""The images that a learner reads: a whole collection, the part it may train on, and a copy on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from imageclef.errors import TrainingError

_SHARE_FOR_IMAGES = 0.5
"""The share of a device's free memory that a store may take: networks and their gradients need the rest."""

_BLOCK = 1024


class Images(Protocol):
    """A collection of decoded images that is read by rows."""

    def __len__(self) -> int:
        """Number of images."""

    def batch(self, rows: NDArray[np.int64]) -> Tensor:
        """The images of these rows, uint8 (n, 3, h, w)."""


class TrainingImages:
    """The part of a collection that a learner may train on, and its labels for a learner that declares them.

    Rows are counted within the part. The validation part cannot be reached through this object, neither its
    images nor its labels.
    """

    def __init__(
        self, images: Images, rows: NDArray[np.int64] | None = None, labels: csr_array | None = None
    ) -> None:
        """Select rows of a collection.

        Args:
            images: the whole collection.
            rows: the rows to train on, in the order given; None takes all of them.
            labels: uint8 (n_rows, n_concepts) of these rows; None for a learner without `uses_labels`.
        """
        self._images = images
        self._rows = np.arange(len(images)) if rows is None else rows
        if labels is not None and labels.shape[0] != len(self._rows):
            raise ValueError(f"{labels.shape[0]} rows of labels for {len(self._rows)} images")
        self._labels = labels

    def __len__(self) -> int:
        """Number of images to train on."""
        return len(self._rows)

    def batch(self, rows: NDArray[np.int64]) -> Tensor:
        """The images of these rows of the part, uint8 (n, 3, h, w)."""
        return self._images.batch(self._rows[rows])

    def labels(self, rows: NDArray[np.int64]) -> csr_array:
        """The concepts of these rows of the part, uint8 (n, n_concepts), the most frequent concept first.

        Raises:
            TrainingError: the learner does not declare `uses_labels`.
        """
        if self._labels is None:
            raise TrainingError("this learner reads labels, but does not declare uses_labels = True")
        return self._labels[rows]


class DeviceImages:
    """A whole collection in one tensor on one device, so that no batch is copied to it."""

    def __init__(self, pixels: Tensor) -> None:
        """Wrap uint8 (n, 3, h, w)."""
        self._pixels = pixels

    def __len__(self) -> int:
        """Number of images."""
        return len(self._pixels)

    def batch(self, rows: NDArray[np.int64]) -> Tensor:
        """The images of these rows, uint8 (n, 3, h, w), on the tensor's device."""
        return self._pixels[torch.from_numpy(rows).to(self._pixels.device)]


class StoredPixels(Protocol):
    """Pixels that are read by rows: an array, a memory map, or an object that checks them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, h, w, channels)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[np.uint8]:
        """The pixels of some rows, (n_rows, h, w, channels)."""


def on_device(
    images: Images,
    pixels: StoredPixels,
    device: torch.device,
    free_bytes: Callable[[torch.device], int] | None = None,
) -> Images:
    """Copy a collection to a device where it fits into a part of its free memory.

    Args:
        images: the collection, whose batches are copied one at a time where the whole does not fit.
        pixels: of the collection, uint8 (n, h, w, 1 or 3).
        device: the CPU has the collection already.
        free_bytes: measures the free memory of a device; by default that of a CUDA device.
    """
    if device.type == "cpu":
        return images
    free = (free_bytes or _free_cuda_bytes)(device)
    if int(np.prod(pixels.shape)) > free * _SHARE_FOR_IMAGES:
        return images
    whole = torch.empty(pixels.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(pixels), _BLOCK):
        block = np.ascontiguousarray(pixels[start : start + _BLOCK])
        whole[start : start + _BLOCK] = torch.from_numpy(block)
    return DeviceImages(whole.permute(0, 3, 1, 2).expand(-1, 3, -1, -1))


def _free_cuda_bytes(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
