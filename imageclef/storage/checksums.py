"""Checksums of blocks: what is read is what was written.

A file is identified by the XXH3-128 of each of its blocks of 1 MiB. A large array is checked block by block
as its rows are read, every other file when its artifact is opened. XXH3 reads some 10 GB a second, so that
checking costs a few hundredths of a second for each gigabyte; it finds accidents, not forgers.

Reference:
    Y. Collet, xxHash, https://github.com/Cyan4973/xxHash
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from imageclef.errors import ArtifactError

BLOCK = 1 << 20
"""Bytes of a block."""


def checksum(data: bytes | memoryview) -> str:
    """The XXH3-128 of some bytes, in hexadecimal."""
    return xxhash.xxh3_128_hexdigest(data)


def facts_of(path: Path) -> dict[str, Any]:
    """The size of a file and the checksum of each of its blocks, as manifests name them."""
    with path.open("rb") as file:
        blocks = [checksum(block) for block in iter(lambda: file.read(BLOCK), b"")]
    return {"bytes": path.stat().st_size, "xxh3": blocks}


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal: names the inputs of a recipe."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_lines(lines: Iterable[str]) -> str:
    """The sha256 of some lines of text, in hexadecimal: names the inputs of a recipe that are no file."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def is_facts(value: Any) -> bool:
    """Whether a value read from a manifest is what `facts_of` gives."""
    try:
        size, blocks = value["bytes"], value["xxh3"]
        return (
            type(size) is int and len(blocks) == -(-size // BLOCK) and all(type(one) is str for one in blocks)
        )
    except (KeyError, TypeError):
        return False


def require_unchanged(path: Path, facts: Mapping[str, Any], advice: str) -> None:
    """Read a file whole and compare it with its facts.

    Raises:
        ArtifactError: it is missing, has another size, or a block has other bytes; the message names the
            first, and ends with `advice`.
    """
    require_size(path, facts, advice)
    try:
        found = facts_of(path)["xxh3"]
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}; {advice}") from None
    for number, (one, expected) in enumerate(zip(found, facts["xxh3"], strict=False)):
        if one != expected:
            raise changed(path, number, advice)


def require_size(path: Path, facts: Mapping[str, Any], advice: str) -> None:
    """Compare the size of a file with its facts.

    Raises:
        ArtifactError: it is missing or has another size.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        what = "missing" if isinstance(error, FileNotFoundError) else error.strerror
        raise ArtifactError(f"{path}: {what}; {advice}") from None
    if size != facts["bytes"]:
        raise ArtifactError(
            f"{path}: {size:,} bytes; expected the {facts['bytes']:,} that were written; {advice}"
        )


def changed(path: Path, block: int, advice: str) -> ArtifactError:
    """The error for a block with other bytes than were written."""
    return ArtifactError(
        f"{path}: changed since it was written, at byte {block * BLOCK:,} or after; {advice}"
    )


class CheckedArray:
    """An array on disk whose blocks are checked the first time that they are read.

    It is read by slices and by arrays of positions along its first axis, as `Matrix` asks; `numpy.asarray`
    reads, and checks, all of it.

    Attributes:
        shape: of the array.
        dtype: of its values.
    """

    def __init__(self, array: np.memmap[Any, Any], path: Path, blocks: Sequence[str], advice: str) -> None:
        """Wrap an array.

        Args:
            array: mapped from a .npy file.
            path: of that file.
            blocks: the checksum of each of its blocks.
            advice: what to do about a block with other bytes, for the message.
        """
        self._array: NDArray[Any] = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype
        self._path, self._expected, self._advice = path, blocks, advice
        self._bytes = np.memmap(path, np.uint8, "r")
        self._first = len(self._bytes) - array.nbytes
        self._row = array.nbytes // max(len(array), 1)
        self._unread = np.ones(len(blocks), bool)
        self._check(np.arange(-(-self._first // BLOCK)))  # the header

    def __len__(self) -> int:
        return int(self.shape[0])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return int(self._array.nbytes)

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[Any]:
        """The rows of a slice, mapped, or of an array of positions, copied.

        Raises:
            ArtifactError: a block of theirs has other bytes than were written.
        """
        if self._unread.any():
            self._check(self._blocks_of(rows))
        found: NDArray[Any] = self._array[rows]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self[:], dtype, copy=copy)

    def _blocks_of(self, rows: slice | NDArray[np.int64]) -> NDArray[np.int64]:
        """The blocks that hold some rows."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            low, high = (start, stop) if step > 0 else (stop + 1, start + 1)
            if high <= low:
                return np.empty(0, np.int64)
            first, end = self._first + low * self._row, self._first + high * self._row
            return np.arange(first // BLOCK, -(-end // BLOCK))
        positions = np.asarray(rows)
        if positions.dtype == bool:
            positions = np.flatnonzero(positions)
        positions = np.where(positions < 0, positions + len(self), positions)
        begin = self._first + positions * self._row
        # Rows longer than a block touch those between their ends as well.
        within = np.arange(-(-self._row // BLOCK) + 1) * BLOCK
        last = (begin + max(self._row, 1) - 1) // BLOCK
        return np.unique(np.minimum((begin[:, None] + within) // BLOCK, last[:, None]))

    def _check(self, blocks: NDArray[np.int64]) -> None:
        for number in blocks[self._unread[blocks]].tolist():
            block = self._bytes[number * BLOCK : (number + 1) * BLOCK]
            if checksum(block.data) != self._expected[number]:
                raise changed(self._path, number, self._advice)
            self._unread[number] = False
