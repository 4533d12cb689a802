"""Every file below a folder, by its path."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imageclef.data.ids import printable
from imageclef.errors import DataError


@dataclass(frozen=True)
class Files:
    """What a walk found.

    Attributes:
        paths: of files, POSIX, relative to the folder.
        closed: folders that cannot be read, and why.
    """

    paths: list[str]
    closed: list[tuple[str, str]]


def files_below(folder: Path, wanted: Callable[[str], bool]) -> Files:
    """List the files of a folder and its subfolders.

    Hidden files and folders are passed over. Links are followed, each folder is entered once.

    Args:
        folder: exists.
        wanted: told the name of a file, says whether it is listed.

    Raises:
        DataError: the folder itself cannot be read.
    """
    paths: list[str] = []
    closed: list[tuple[str, str]] = []

    def note(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise DataError(f"{folder}: {error.strerror}; expected a folder that can be read")
        path = printable(Path(error.filename).relative_to(folder).as_posix())
        closed.append((path, f"folder cannot be read: {error.strerror}"))

    seen = {_identity(folder)}
    for here, names, files in os.walk(folder, onerror=note, followlinks=True):
        names[:] = [name for name in sorted(names) if name[0] != "." and _is_new(Path(here) / name, seen)]
        relative = Path(here).relative_to(folder).as_posix()
        prefix = "" if relative == "." else f"{relative}/"
        paths += [prefix + name for name in files if name[0] != "." and wanted(name)]
    return Files(paths, closed)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether a folder has not been entered under another name, as a loop of links would."""
    try:
        identity = _identity(folder)
    except OSError:
        return True  # entering it fails in the same way, and that is noted
    new = identity not in seen
    seen.add(identity)
    return new
