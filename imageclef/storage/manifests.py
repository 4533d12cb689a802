"""Manifests: what an artifact is, and every file of it with its size and digest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Set
from pathlib import Path, PurePosixPath
from typing import Any

from imageclef.errors import ArtifactError, MissingArtifact
from imageclef.storage.disk import to_disk

MANIFEST = "manifest.json"
FORMAT = 1
_ENTRIES = {"stage": str, "recipe": str, "settings": dict, "inputs": dict, "files": dict}
"""What others ask a manifest for, beside the figures that a stage looks up in its own."""


def read_manifest(path: Path, made_by: str) -> dict[str, Any]:
    """What the manifest of an artifact says, once it is known to say all that is asked of it.

    Args:
        path: of the artifact.
        made_by: the command that makes it, for the message.

    Raises:
        MissingArtifact: there is none.
        ArtifactError: it cannot be read, or is of another format.
    """
    manifest_path = path / MANIFEST
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ArtifactError(
                f"{manifest_path}: format {manifest['format']}, expected {FORMAT}; run `{made_by}` again"
            )
        whole = all(isinstance(manifest.get(key), kind) for key, kind in _ENTRIES.items())
        whole = whole and all(map(_is_file_entry, manifest["files"].items()))
    except FileNotFoundError:
        raise MissingArtifact(f"{path} is not there; `{made_by}` makes it") from None
    except OSError as error:
        raise ArtifactError(f"{manifest_path}: {error.strerror}; run `{made_by}` again") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise ArtifactError(f"{manifest_path}: not a manifest; run `{made_by}` again")
    return dict(manifest)


def _is_file_entry(entry: tuple[str, Any]) -> bool:
    """Whether a file of a manifest lies within its folder, and has a size and a digest."""
    (name, facts), parts = entry, PurePosixPath(entry[0]).parts
    inside = name.isprintable() and parts and parts[0] != "/" and ".." not in parts
    return bool(inside) and isinstance(facts["bytes"], int) and isinstance(facts["sha256"], str)


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inventory(folder: Path, left_out: Set[str]) -> dict[str, dict[str, Any]]:
    """Size and digest of each file, once it is on the disk."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        parts = path.relative_to(folder).parts
        if parts[0] not in left_out and not any(part.startswith(".") for part in parts):
            to_disk(path)
            files["/".join(parts)] = {"bytes": path.stat().st_size, "sha256": file_digest(path)}
    return files


def write_json(path: Path, value: Any) -> None:
    """Write a file that appears whole or not at all."""
    partial = path.with_name(f".{path.name}")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, default=str)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def named_files(manifest: Path) -> list[str] | None:
    """The files that a manifest names; None if there is none that can be read."""
    try:
        return list(json.loads(manifest.read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
