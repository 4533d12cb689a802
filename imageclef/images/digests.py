"""Content digests: the XXH3-128 of a file's bytes tells whether a file is the one that was decoded before."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

import xxhash

from imageclef.images.dicom.recognition import file_and_frame
from imageclef.storage.sealed import BrokenSeal, read_sealed, write_sealed

_BLOCK = 2**20
MOST_BYTES = 2**32
"""Larger files have no digest: a sparse file of a terabyte would take longer than a file may."""


class Digests:
    """Digests of files, one after the other; the frames of one file cost one reading."""

    def __init__(self) -> None:
        self._last: tuple[tuple[object, ...], str] = (), ""

    def of(self, path: Path) -> str:
        """32 hexadecimal digits.

        Args:
            path: the file; with ``#3`` after it, a frame of it.

        Returns:
            Empty where the file is no regular file, is larger than `MOST_BYTES`, or cannot be read.
        """
        path, _ = file_and_frame(path)
        try:
            status = path.stat()
            if not S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
                return ""
            identity = (path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if identity != self._last[0]:
                self._last = identity, _digest(path)
        except OSError:
            return ""
        return self._last[1]


class DigestCache:
    """Digests of many files, read only where size or time of change differ from those in a table.

    The table only saves reading: it is no part of any result, and without it every file is read once.
    """

    def __init__(self, known: dict[str, tuple[int, int, str]]) -> None:
        self._before, self._now, self._digests = known, dict(known), Digests()

    @classmethod
    def load(cls, table: Path) -> DigestCache:
        """Read a table; a missing or damaged one is empty."""
        known = {}
        with suppress(OSError, BrokenSeal, KeyError, TypeError, ValueError, AttributeError):
            files = read_sealed(table, compact=True)["files"]
            known = {
                path: (int(size), int(time), str(digest)) for path, (size, time, digest) in files.items()
            }
        return cls(known)

    def of(self, folder: Path, path: str) -> str:
        """The digest of a file, as `Digests.of`."""
        file, name = file_and_frame(folder / path)[0], str(folder / path)
        try:
            status = file.stat()
        except OSError:
            return ""
        known = self._now.get(name, (-1, -1, ""))
        if known[:2] != (status.st_size, status.st_mtime_ns):
            known = status.st_size, status.st_mtime_ns, self._digests.of(file)
            self._now[name] = known
        return known[2]

    def save(self, table: Path) -> None:
        """Write the table, if anything in it is new; where a file of others stands there is none."""
        if self._now != self._before:
            with suppress(OSError, BrokenSeal):
                if os.path.lexists(table):
                    read_sealed(table, compact=True)
                write_sealed(table, {"files": self._now}, compact=True)


def _digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
