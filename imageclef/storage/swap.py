"""Swap: a finished folder takes the place of the earlier artifact, and what a kill left is made good.

A folder is built as ``.NAME.partial``; the earlier artifact is ``.NAME.retired`` for the moment between two
renames. Nothing is deleted but files that a manifest of ours names, and what a partial folder of ours holds.
"""

from __future__ import annotations

import os
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

from imageclef.errors import ArtifactError
from imageclef.storage.disk import to_disk
from imageclef.storage.locks import held
from imageclef.storage.manifests import MANIFEST, named_files
from imageclef.storage.ownership import not_ours
from imageclef.storage.sealed import is_half_written, is_sealed

RECIPE = "recipe.json"
"""The first file of a partial folder: what it is being built from."""
MOMENT = 1.0
"""Seconds for which another process may hold an artifact just to put it in its place."""


def require_our_own(path: Path) -> None:
    """Check that the hidden folders beside an artifact, where there are any, are ours.

    Raises:
        ArtifactError: something of others has the name of one.
    """
    _require_our_partial(partial_of(path))
    _require_our_retired(retired_of(path))


def _require_our_partial(partial: Path) -> None:
    """Refuse a folder of the partial's name that no building process has begun."""
    if not os.path.lexists(partial):
        return
    if partial.is_symlink() or not partial.is_dir():
        raise not_ours(partial)
    if is_sealed(partial / RECIPE, "recipe") or is_sealed(partial / MANIFEST, "files"):
        return
    # The recipe is the first file of all; a kill may have come while it was being written.
    if not all(is_half_written(path, partial / RECIPE) for path in partial.iterdir()):
        raise not_ours(partial)


def _require_our_retired(retired: Path) -> None:
    """Refuse anything of the name of an earlier artifact that is no artifact."""
    if not os.path.lexists(retired):
        return
    if retired.is_symlink() or not retired.is_dir() or named_files(retired / MANIFEST) is None:
        raise not_ours(retired)


def partial_of(path: Path) -> Path:
    """The folder that an artifact is built in."""
    return path.with_name(f".{path.name}.partial")


def retired_of(path: Path) -> Path:
    """Where the earlier artifact is while the new one takes its place."""
    return path.with_name(f".{path.name}.retired")


def finish(path: Path) -> None:
    """Do what a kill kept a process from doing once its artifact was made."""
    done, lock = partial_of(path) / MANIFEST, path.with_name(f".{path.name}.lock")
    if done.exists() or retired_of(path).exists() or lock.exists():
        # Who holds it between the two renames is done at once; who is still making it is not waited for.
        wait = MOMENT if done.exists() and not path.exists() else 0.0
        # Nobody's fault here: what is not finished is not there, and whoever makes it says why.
        with suppress(ArtifactError, OSError), held(path, wait):
            swap_in(path)


def swap_in(path: Path) -> None:
    """Put a finished partial folder in its place, keeping the earlier artifact until it stands there."""
    partial, retired = partial_of(path), retired_of(path)
    named = named_files(partial / MANIFEST)
    if named is not None and is_sealed(partial / MANIFEST, "files"):
        if path.exists() and any(path.iterdir()):
            _require_artifact(path)
            _delete_artifact(retired)
            path.rename(retired)
        _delete_all_but({MANIFEST, *named}, partial)
        partial.rename(path)
        to_disk(path.parent)
    elif (retired / MANIFEST).exists() and not os.path.lexists(path):
        retired.rename(path)
    _delete_artifact(retired)


def _require_artifact(path: Path) -> None:
    """What is about to be renamed has a manifest; its bytes were compared when the building began."""
    if named_files(path / MANIFEST) is None:
        raise not_ours(path)


def _delete_artifact(folder: Path) -> None:
    """Delete the files that a manifest names, then the manifest, then the folder; nothing of others."""
    named = named_files(folder / MANIFEST)
    if named is None:
        with suppress(OSError):  # a kill may have left it empty
            folder.rmdir()
        return
    for name in named:
        (folder / name).unlink(missing_ok=True)
    for below in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):
            below.rmdir()
    if [path.name for path in folder.iterdir()] == [MANIFEST]:
        (folder / MANIFEST).unlink()
        folder.rmdir()


def _delete_all_but(kept: Set[str], folder: Path) -> None:
    """Delete what the work went on from: the recipe, checkpoints, half-written files."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            with suppress(OSError):  # of what is kept
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in kept:
            path.unlink()
