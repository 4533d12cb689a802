"""JSON files that carry their own checksum: manifests, sidecars, the facts of a run.

The last entry, ``seal``, is the checksum of the file without it. A file that was cut short, edited or
reformatted does not have its seal any more.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from imageclef.storage.checksums import checksum
from imageclef.storage.disk import new_hidden

_SEAL = "seal"


class BrokenSeal(ValueError):
    """A file that is not the JSON object that was written."""


def write_sealed(path: Path, value: dict[str, Any], *, compact: bool = False) -> None:
    """Write an object to a file that appears whole or not at all; values that JSON lacks become text.

    Args:
        path: of the file.
        value: has no entry ``seal``.
        compact: whether it is one line, for machines, ten times as fast for a large object.
    """
    text = _text(value, compact)
    sealed = _text({**json.loads(text), _SEAL: checksum(text.encode())}, compact)
    partial = new_hidden(path)
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def read_sealed(path: Path, *, compact: bool = False) -> dict[str, Any]:
    """Read an object that `write_sealed` wrote, in the same form.

    Returns:
        The object, without its seal.

    Raises:
        OSError: the file cannot be read.
        BrokenSeal: it is not what was written.
    """
    raw = path.read_bytes()
    try:
        value = json.loads(raw)
        seal = value.pop(_SEAL)
        text = _text({**value, _SEAL: seal}, compact)
        whole = seal == checksum(_text(value, compact).encode()) and raw == text.encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise BrokenSeal("not as it was written")
    return dict(value)


def is_sealed(path: Path, *keys: str) -> bool:
    """Whether a file, which may be missing, is as `write_sealed` wrote it, and has these entries."""
    try:
        return not path.is_symlink() and read_sealed(path).keys() >= set(keys)
    except (OSError, BrokenSeal):
        return False


def is_half_written(path: Path, sealed: Path) -> bool:
    """Whether a path is that of the file that `write_sealed` renames to `sealed` when it is written."""
    return path.is_file() and bool(re.fullmatch(rf"\.{re.escape(sealed.name)}\.\d+-\d+\.partial", path.name))


def _text(value: dict[str, Any], compact: bool) -> str:
    return json.dumps(value, indent=None if compact else 2, default=str) + "\n"
