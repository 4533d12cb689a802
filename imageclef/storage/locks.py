"""One process at a time: the lock is the system's, and goes with the process that holds it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from imageclef.errors import ArtifactError
from imageclef.storage.ownership import not_ours

_BEGINS = b'{"process": '
"""The first bytes of a file that says who holds a lock."""


@contextmanager
def held(path: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold what is at `path` against other processes; the file `.NAME.holder` says who does.

    Args:
        path: of a file or folder; it need not be there, its parent must.
        wait: seconds, for a holder who will soon be done.

    Raises:
        ArtifactError: another process holds it, the message says which; or a file of others has the lock's
            name.
        OSError: the folder cannot be written.
    """
    lock_file, holder = path.with_name(f".{path.name}.lock"), path.with_name(f".{path.name}.holder")
    _require_ours(lock_file, holder)
    lock = FileLock(lock_file, timeout=wait)
    try:
        lock.acquire()
    except Timeout:
        raise ArtifactError(f"{path}: {_named(holder)} is making it; wait until it is done") from None
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        facts = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
        holder.write_text(json.dumps(facts) + "\n", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        # Still held: whoever opened the file in the meantime sees that it has no name any more.
        lock_file.unlink(missing_ok=True)
        lock.release()


def _require_ours(lock_file: Path, holder: Path) -> None:
    """A lock is an empty file, and its holder a short JSON object; a file of others stays as it is."""
    for path in (lock_file, holder):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise not_ours(path)
    with suppress(OSError):
        if lock_file.stat().st_size:
            raise not_ours(lock_file)
    with suppress(OSError):
        # A kill may have cut it short: what is there still begins as ours does.
        if holder.read_bytes()[: len(_BEGINS)] not in (_BEGINS, b""):
            raise not_ours(holder)


def _named(holder: Path) -> str:
    try:
        facts = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {facts['process']} on {facts['host']}, since {facts['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
