"""Files that are written once, and the one that is replaced: how a kill at any instant does no harm.

New files are written under names that nothing refers to yet, and reach the disk; then the one file that names
them is replaced by a rename; then what it no longer names is deleted. A kill before the rename leaves the old
state and some files that nobody reads, a kill after it the new state.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import ArtifactError
from imageclef.storage.disk import to_disk, writing_into

Facts = dict[str, Any]
"""The `bytes` and the `sha256` of a file."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class NewFile:
    """A file that is being written; on the disk when the block ends.

    Attributes:
        facts: its size and digest so far.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._size = 0
        self._descriptor = -1

    @property
    def facts(self) -> Facts:
        """Its size and digest so far."""
        return {"bytes": self._size, "sha256": self._digest.hexdigest()}

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes.

        Raises:
            ArtifactError: the disk is full, or the folder cannot be written.
        """
        view = memoryview(data).cast("B")
        self._digest.update(view)
        self._size += len(view)
        try:
            while len(view):
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise _not_written(self._path, error) from None

    def __enter__(self) -> NewFile:
        try:
            self._descriptor = os.open(self._path, _NEW, 0o666)
        except OSError as error:
            raise _not_written(self._path, error) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)


def write_array(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]]
) -> Facts:
    """Write a .npy file from blocks of its rows."""
    with NewFile(path) as file:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype=dtype).data)
    return file.facts


def write_bytes(path: Path, data: bytes) -> Facts:
    """Write a whole file."""
    with NewFile(path) as file:
        file.write(data)
    return file.facts


def replace(path: Path, data: bytes) -> None:
    """Put a file in the place of another at one instant, once all files beside it are on the disk."""
    partial = path.with_name(f".{path.name}.partial")
    write_bytes(partial, data)
    to_disk(path.parent)
    partial.replace(path)
    to_disk(path.parent)


def discard(paths: Iterable[Path]) -> None:
    """Delete files, those that are not there among them."""
    for path in paths:
        path.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only one who changes a folder; a kill gives it free.

    Raises:
        ArtifactError: another process is changing it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ArtifactError(f"{folder}: {error.strerror}; expected a folder for an index") from None
    try:
        _lock(descriptor, folder)
        with writing_into(folder, "the index"):
            yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ArtifactError(f"{folder}: another process is changing this index; wait for it") from None
    except OSError as error:
        raise ArtifactError(f"{folder}: {error.strerror}; expected a folder that can be locked") from None


def _not_written(path: Path, error: OSError) -> ArtifactError:
    return ArtifactError(f"{path}: {error.strerror}; the index stays as it was")
