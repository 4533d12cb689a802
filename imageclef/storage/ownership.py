"""What stands at a path that is about to be written: nothing, something of ours, or something of others.

We delete and overwrite only what we made. A folder is ours if it has our manifest, a file if it has our
sidecar; it is unchanged if its bytes are those that the manifest or the sidecar names. Anything else is left
as it is, and the error names it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Set
from pathlib import Path

from imageclef.errors import ArtifactError, MissingArtifact
from imageclef.storage.checksums import facts_of
from imageclef.storage.manifests import MANIFEST, named_files, read_manifest

_ADVICE = "move it away, or choose another place"


def require_replaceable(folder: Path, stage: str, force: bool = False) -> None:
    """Check that an artifact may be put at a path, in the place of what stands there.

    Args:
        folder: where the artifact will be; an empty folder may be there.
        stage: what makes it; the artifact of another stage is not replaced.
        force: whether an artifact that was changed after we wrote it may be replaced.

    Raises:
        ArtifactError: something stands there that we did not make, or a file of ours was changed and `force`
            is not set.
    """
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise not_ours(folder)
    if not any(folder.iterdir()):
        return
    try:
        manifest = read_manifest(folder, stage)
    except (ArtifactError, MissingArtifact):
        named = named_files(folder / MANIFEST)
        if named is None:
            raise not_ours(folder) from None
        _require_no_others(folder, named)
        if force:
            return
        raise
    if manifest["stage"] != stage:
        made_by = f"it holds what `imageclef {manifest['stage']}` made"
        raise ArtifactError(f"{folder}: {made_by}; expected a new path, or one that `{stage}` made")
    files = {**manifest["files"], **manifest["logs"]}
    _require_no_others(folder, files.keys())
    for name, facts in files.items():
        path = folder / name
        if not force and path.exists() and _differs(path, facts):
            raise ArtifactError(f"{path}: changed since imageclef wrote it; add --force to replace it")


def _require_no_others(folder: Path, ours: Set[str]) -> None:
    """Refuse a folder that holds anything beside these files and the manifest."""
    if strangers := sorted(_files_below(folder) - {MANIFEST} - ours):
        raise not_ours(folder / strangers[0])


def not_ours(path: Path) -> ArtifactError:
    """The error for something of others at a path that is about to be written."""
    return ArtifactError(f"{path}: imageclef did not make it and does not replace it; {_ADVICE}")


def require_not_input(out: Path, inputs: Iterable[Path]) -> None:
    """Check that a path that is about to be written is not one that is read.

    Raises:
        ArtifactError: it is one of them, or lies within a folder that is one of them.
    """
    place = out.resolve()
    for path in inputs:
        if place == path.resolve() or (path.is_dir() and place.is_relative_to(path.resolve())):
            raise ArtifactError(f"{out}: is an input as well ({path}); expected another path to write")


def _files_below(folder: Path) -> set[str]:
    """Everything that is not a plain folder, by its POSIX path in the folder; empty folders count as well."""
    found = set()
    for here, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(here) / name).is_symlink()]
        found |= {(Path(here) / name).relative_to(folder).as_posix() for name in [*files, *links]}
    return found


def _differs(path: Path, facts: dict[str, object]) -> bool:
    try:
        return facts_of(path) != facts
    except OSError:
        return True
