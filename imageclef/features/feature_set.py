"""Feature sets on disk: one row for each image, opened memory-mapped.

A folder with `features.npy`, float32 of shape (n_images, n_features), and `ids.txt`: row i belongs to the
image in line i. Both are checked when the set is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from imageclef.data.ids import read_id_lines, write_id_lines
from imageclef.errors import ArtifactError, DataError
from imageclef.storage.artifacts import Artifact

FEATURES, IDS = "features.npy", "ids.txt"


class Matrix(Protocol):
    """Rows of floats that are read in blocks: an array, a memory map, several of them beside each other."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_images, n_features)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[Any]:
        """The rows of a slice or of an array of positions, (n_rows, n_features)."""


@dataclass(frozen=True)
class FeatureSet:
    """The features of a collection of images.

    Attributes:
        ids: the image of each row.
        features: float32, (n_images, n_features); read-only and memory-mapped where opened from disk.
    """

    ids: list[str]
    features: Matrix

    @classmethod
    def open(cls, source: Artifact | Path) -> FeatureSet:
        """Open a feature set without reading its rows.

        Args:
            source: an artifact, whose rows are checked as they are read; or a folder that is none.

        Raises:
            ArtifactError: a file is missing, damaged, or does not fit the other.
        """
        folder = source if isinstance(source, Path) else source.path
        path = folder / FEATURES
        features = _map(path) if isinstance(source, Path) else source.array(FEATURES)
        if features.ndim != 2 or features.dtype != np.float32:
            raise ArtifactError(
                f"{path}: holds {features.dtype} of shape {features.shape}; "
                "expected float32 of shape (n_images, n_features)"
            )
        ids = read_id_lines(folder / IDS)
        if len(ids) != len(features):
            raise ArtifactError(
                f"{folder / IDS}: {len(ids)} ids; expected {len(features)}, the rows of {FEATURES}"
            )
        return cls(ids, features)

    @staticmethod
    def create(
        folder: Path, ids: Sequence[str], n_features: int
    ) -> np.memmap[tuple[int, int], np.dtype[np.float32]]:
        """Write the ids and preallocate the rows, so that a set larger than memory is filled in place.

        Args:
            folder: made where it is missing.
            ids: the image of each row.
            n_features: the width of a row.

        Returns:
            Writable zeros, float32, (n_images, n_features); call its `flush` when it is filled.

        Raises:
            DataError: an id appears twice or cannot stand in a line.
            ArtifactError: there is no room for it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_id_lines(folder / IDS, ids)
        path, shape = folder / FEATURES, (len(ids), n_features)
        try:
            rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
            _occupy(path)
        except OSError as error:
            size = 4 * len(ids) * n_features / 1e6
            raise ArtifactError(f"{path}: {error.strerror}; {size:,.1f} MB are needed") from None
        return rows

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_features(self) -> int:
        """The width of a row."""
        return int(self.features.shape[1])

    def rows_of(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """The rows of these images, int64, (n_ids,).

        Raises:
            DataError: an image has no features.
        """
        try:
            return np.fromiter((self._rows[image_id] for image_id in ids), dtype=np.int64)
        except KeyError as missing:
            raise DataError(
                f"image {missing} has no features; expected one of the {len(self)} in the set"
            ) from None

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {image_id: row for row, image_id in enumerate(self.ids)}


def _map(path: Path) -> NDArray[Any]:
    try:
        return open_npy(path)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; expected the features of a collection") from None
    except DamagedNpy as error:
        raise ArtifactError(f"{path}: {error}; expected a .npy file of float32") from None


def _occupy(path: Path) -> None:
    """Take the blocks of a file now: a full disk would end the process when a mapped page is written."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


class DamagedNpy(ValueError):
    """A file that is no .npy file, or not a whole one; the message is the reason, without the path."""


def open_npy(path: Path) -> NDArray[Any]:
    """Map the array of a .npy file; nothing is unpickled.

    Raises:
        FileNotFoundError: there is none.
        DamagedNpy: it cannot be read.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy lets through whatever its parser meets, TokenError to OverflowError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DamagedNpy(reason or type(error).__name__) from None
    if not isinstance(array, np.ndarray):
        raise DamagedNpy("an archive of arrays")
    return array
