"""Single files that a command writes at a path that the user names: ``--out``, ``--sheet``.

Beside such a file stands a sidecar, ``.NAME.imageclef``, with its size and digest. By the sidecar the next
call knows that the file is ours and was not changed since, and only then replaces it. The sidecar is written
first and names the earlier file as well, so that after a kill whichever file stands there is known as ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imageclef.errors import ArtifactError
from imageclef.storage.checksums import facts_of
from imageclef.storage.disk import whole_file
from imageclef.storage.ownership import not_ours, require_not_input
from imageclef.storage.sealed import BrokenSeal, read_sealed, write_sealed


def require_writable(path: Path, inputs: Iterable[Path] = (), force: bool = False) -> None:
    """Check that a file may be written at a path; a stage asks this before it begins to work.

    Args:
        path: of the file.
        inputs: what the command reads.
        force: whether a file of ours that was changed since may be replaced.

    Raises:
        ArtifactError: the path is an input, or something stands there that we did not make, or that was
            changed since and `force` is not set.
    """
    require_not_input(path, inputs)
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_file() or not (written := _read(_sidecar(path))):
        raise not_ours(path)
    if not force and facts_of(path) not in written:
        raise ArtifactError(f"{path}: changed since imageclef wrote it; add --force to replace it")


@contextmanager
def output_file(path: Path, inputs: Iterable[Path] = (), force: bool = False) -> Iterator[Path]:
    """Yield a hidden path to write to; the file takes its place when the block ends without an error.

    Raises:
        ArtifactError: as for `require_writable`, or the disk does not take it.
    """
    require_writable(path, inputs, force)
    sidecar = _sidecar(path)
    if os.path.lexists(sidecar) and not _read(sidecar):
        raise not_ours(sidecar)
    with whole_file(path) as hidden:
        yield hidden
        facts = [facts_of(hidden), *([facts_of(path)] if path.exists() else [])]
        write_sealed(sidecar, {"files": facts})


def _sidecar(path: Path) -> Path:
    return path.with_name(f".{path.name}.imageclef")


def _read(sidecar: Path) -> list[dict[str, Any]]:
    """What a sidecar says; nothing where there is none that can be read."""
    try:
        return list(read_sealed(sidecar)["files"])
    except (OSError, BrokenSeal, KeyError, TypeError):
        return []
