"""Manifests: what an artifact is, and every file of it with its size and checksums."""

from __future__ import annotations

import json
from collections.abc import Set
from pathlib import Path, PurePosixPath
from typing import Any

from imageclef.errors import ArtifactError, MissingArtifact
from imageclef.storage.checksums import facts_of, is_facts
from imageclef.storage.disk import to_disk
from imageclef.storage.sealed import BrokenSeal, read_sealed

MANIFEST = "manifest.json"
FORMAT = 2
_ENTRIES = {"stage": str, "recipe": str, "settings": dict, "inputs": dict, "files": dict, "logs": dict}
"""What others ask a manifest for, beside the figures that a stage looks up in its own."""


def read_manifest(path: Path, made_by: str) -> dict[str, Any]:
    """Read the manifest of an artifact, and check that it says all that is asked of it.

    Args:
        path: of the artifact.
        made_by: the command that makes it, for the message.

    Raises:
        MissingArtifact: there is none.
        ArtifactError: it cannot be read, was changed, or is of another format.
    """
    manifest_path = path / MANIFEST
    again = f"run `{made_by} --force`"
    try:
        manifest = read_sealed(manifest_path)
    except FileNotFoundError:
        raise MissingArtifact(f"{path} is not there; `{made_by}` makes it") from None
    except OSError as error:
        raise ArtifactError(f"{manifest_path}: {error.strerror}; {again}") from None
    except BrokenSeal:
        if found := _format_of(manifest_path):
            raise ArtifactError(
                f"{path}: made by an earlier version (format {found}, expected {FORMAT}); {again}"
            ) from None
        if named_files(manifest_path) is None:  # --force would not know which files are ours
            again = f"move its folder away and run `{made_by}`"
        raise ArtifactError(f"{manifest_path}: changed since it was written; {again}") from None
    if manifest.get("format") != FORMAT or not _is_manifest(manifest):
        raise ArtifactError(f"{manifest_path}: not a manifest of format {FORMAT}; {again}")
    return manifest


def inventory(folder: Path, left_out: Set[str]) -> dict[str, dict[str, Any]]:
    """Size and checksums of each file, once it is on the disk."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        parts = path.relative_to(folder).parts
        if parts[0] not in left_out and not any(part.startswith(".") for part in parts):
            to_disk(path)
            files["/".join(parts)] = facts_of(path)
    return files


def named_files(manifest: Path) -> set[str] | None:
    """The files that a manifest names, of whatever format it is; None if there is none that can be read."""
    try:
        value = json.loads(manifest.read_text(encoding="utf-8"))
        names = {*value["files"], *value.get("logs", {})}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return names if all(map(_is_inside, names)) else None


def _format_of(manifest: Path) -> int:
    """The format of a manifest of an earlier version, else 0."""
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0
    return found if type(found) is int and 0 < found < FORMAT else 0


def _is_manifest(manifest: dict[str, Any]) -> bool:
    entries = all(isinstance(manifest.get(key), kind) for key, kind in _ENTRIES.items())
    return entries and all(
        _is_inside(name) and is_facts(facts)
        for key in ("files", "logs")
        for name, facts in manifest[key].items()
    )


def _is_inside(name: str) -> bool:
    """Whether a file of a manifest lies within its folder."""
    parts = PurePosixPath(name).parts
    return bool(name.isprintable() and parts and parts[0] != "/" and ".." not in parts)
