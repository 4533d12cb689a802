"""Content digests: the XXH3-128 of a file's bytes tells whether a file is the one that was decoded before."""

from __future__ import annotations

from pathlib import Path
from stat import S_ISREG

import xxhash

from imageclef.images.dicom.recognition import file_and_frame

_BLOCK = 2**20


class Digests:
    """Digests of files, one after the other; the frames of one file cost one reading."""

    def __init__(self) -> None:
        self._last: tuple[tuple[object, ...], str] = (), ""

    def of(self, path: Path) -> str:
        """32 hexadecimal digits.

        Args:
            path: the file; with ``#3`` after it, a frame of it.

        Returns:
            Empty where the file is no regular file, or its bytes cannot be read.
        """
        path, _ = file_and_frame(path)
        try:
            status = path.stat()
            if not S_ISREG(status.st_mode):
                return ""
            identity = (path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if identity != self._last[0]:
                self._last = identity, _digest(path)
        except OSError:
            return ""
        return self._last[1]


def _digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
