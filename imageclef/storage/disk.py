"""What a disk may refuse: no room, a limit on files, a read-only folder; one line that names the folder."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from imageclef.errors import ArtifactError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY)
_SETTLED = 1_000_000
"""Bytes; below, what is written is not worth a figure in MB."""


@contextmanager
def writing_into(folder: Path, what: str, needs: int = 0) -> Iterator[None]:
    """Turn what the system says of a write in the block into one line on the folder.

    Args:
        folder: that is written into; what stood there before is left as it was by the caller.
        what: is written, for the message.
        needs: its bytes, as far as that is known.

    Raises:
        ArtifactError: the disk is full or has a quota, files are limited in size, the folder is read-only, or
            the device fails.
    """
    try:
        yield
    except OSError as error:
        if (reason := _reason(error, folder, what, needs)) is None:
            raise
        raise ArtifactError(reason) from None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a hidden path to write to; the file takes its place when the block ends without an error.

    Raises:
        ArtifactError: as of `writing_into`.
    """
    with writing_into(path.parent, path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = new_hidden(path)
        try:
            yield hidden
            to_disk(hidden)
            hidden.replace(path)
        finally:
            hidden.unlink(missing_ok=True)


def new_hidden(path: Path, mode: int = 0o666) -> Path:
    """Make an empty file beside a path, under a hidden name that nothing had before.

    Args:
        path: that the file is for.
        mode: who may read and write it, less what the process masks.
    """
    for number in count():
        hidden = path.with_name(f".{path.name}.{os.getpid()}-{number}.partial")
        try:
            os.close(os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        except FileExistsError:
            continue
        return hidden
    raise AssertionError("count() does not end")


def require_room(folder: Path, what: str, needs: int, there: int = 0) -> None:
    """Refuse work whose result would not fit, before it begins.

    Args:
        folder: that will be written into.
        what: will be written, for the message.
        needs: its bytes.
        there: bytes of it that are there already.

    Raises:
        ArtifactError: there is less room.
    """
    free = shutil.disk_usage(folder).free
    if needs - there > free:
        raise ArtifactError(
            f"{folder}: {megabytes(needs)} needed for {what}, {megabytes(free)} free; "
            "make room, or set another workspace"
        )


def size_of(folder: Path) -> int:
    """Bytes that the files below a folder take up."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def megabytes(n: int) -> str:
    """``1,234.5 MB``, or bytes where that would be nought."""
    return f"{n / 1e6:,.1f} MB" if n >= _SETTLED else f"{n:,} bytes"


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError, folder: Path, what: str, needs: int) -> str | None:
    """What to tell; None for an error that is not the disk's."""
    told = error.strerror or str(error)
    at = folder if error.filename is None else Path(os.fsdecode(error.filename))
    elsewhere = not (at.is_relative_to(folder) or folder.is_relative_to(at))
    if error.errno in _FULL:
        wanted = f"{megabytes(needs)} needed" if needs else "more room needed"
        free = shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.exists())).free
        return f"{folder}: {told}: {wanted} for {what}, {megabytes(free)} free; make room and run it again"
    if error.errno == errno.EFBIG:
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        largest = "" if limit == resource.RLIM_INFINITY else f" of {megabytes(limit)} (`ulimit -f`)"
        return f"{folder}: {told}: {what} needs larger files than the limit{largest} allows"
    if error.errno in _CLOSED and error.filename is not None and not elsewhere:
        return f"{folder}: {told}; expected a folder that {what} can be written into"
    if error.errno == errno.EIO and not elsewhere:
        return f"{at}: {told}; the disk fails while {what} is made"
    return None
