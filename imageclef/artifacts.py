"""Artifacts: folders that are published whole, or not at all.

A stage writes into a hidden sibling, ``.NAME.partial``; ``manifest.json`` is written last, then the
folder is renamed. A folder without a manifest does not exist. The manifest names what the artifact was
made from (its `Recipe`), so that a stage whose recipe has not changed is skipped, and a stage that was
killed finds the partial folder of the same recipe and goes on. One process at a time builds an artifact: the
lock is the system's, and goes with the process that holds it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from imageclef.errors import ArtifactError, MissingArtifact

MANIFEST = "manifest.json"
_RECIPE = "recipe.json"
_FORMAT = 1


@dataclass(frozen=True)
class Recipe:
    """What an artifact is made from: two artifacts of one recipe are interchangeable.

    Attributes:
        stage: the function of `imageclef.stages` that makes it.
        settings: JSON values; everything that changes the bytes.
        inputs: a digest for each thing read, by its name.
        seed: of every random choice.
    """

    stage: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    @property
    def digest(self) -> str:
        """A sha256 in hexadecimal of all of it."""
        return hashlib.sha256(_canonical(asdict(self))).hexdigest()


@dataclass(frozen=True)
class Artifact:
    """A published folder and its manifest."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """What later stages name as their input: changes with the recipe or with any byte written."""
        identity = {key: self.manifest[key] for key in ("recipe", "files")}
        return hashlib.sha256(_canonical(identity)).hexdigest()


def open_artifact(path: Path, made_by: str) -> Artifact:
    """Open a published artifact.

    Args:
        path: its folder.
        made_by: the command that makes it, for the message.

    Raises:
        MissingArtifact: the folder or its manifest is not there.
        ArtifactError: the manifest cannot be read, or is of another format, or a file is missing.
    """
    manifest_path = path / MANIFEST
    _finish_swap(path)
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        if manifest["format"] != _FORMAT:
            raise ArtifactError(
                f"{manifest_path}: format {manifest['format']}, expected {_FORMAT}; run `{made_by}` again"
            )
        for name, facts in manifest["files"].items():
            if (path / name).stat().st_size != facts["bytes"]:
                raise ArtifactError(
                    f"{path / name}: not the {facts['bytes']} bytes of its manifest; run `{made_by}` again"
                )
    except FileNotFoundError as error:
        if Path(error.filename) == manifest_path:
            raise MissingArtifact(f"{path} is not there; `{made_by}` makes it") from None
        raise ArtifactError(f"{error.filename}: missing; run `{made_by}` again") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArtifactError(f"{manifest_path}: not a manifest; run `{made_by}` again") from None
    return Artifact(path, manifest)


def verify(path: Path) -> list[str]:
    """Read every byte of a published artifact.

    Returns:
        What is wrong, a line each; nothing if it is what its manifest says.
    """
    try:
        files = open_artifact(path, "the stage that made it").manifest["files"]
    except (ArtifactError, MissingArtifact) as error:
        return [str(error)]
    wrong = [
        f"{path / name}: other bytes than its manifest says"
        for name, facts in files.items()
        if file_digest(path / name) != facts["sha256"]
    ]
    found = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    return wrong + [f"{path / name}: not in its manifest" for name in sorted(found - {MANIFEST, *files})]


def up_to_date(path: Path, recipe: Recipe) -> Artifact | None:
    """The artifact at `path` if it was made by this very recipe and is whole, else None."""
    try:
        artifact = open_artifact(path, made_by=recipe.stage)
    except (MissingArtifact, ArtifactError):
        return None
    return artifact if artifact.manifest["recipe"] == recipe.digest else None


@contextmanager
def building(path: Path, recipe: Recipe, *, needs: int = 0, **facts: Any) -> Iterator[Path]:
    """Yield a folder to write into; publish it at `path` when the block ends without an error.

    After an error or a kill the partial folder stays, and the next call with the same recipe gets it
    back with what was done so far; a partial folder of another recipe is discarded.

    Args:
        path: where the artifact will be.
        recipe: what it is made from.
        needs: bytes that will be written, as far as that is known.
        **facts: further entries of the manifest that do not identify the artifact, such as the device.

    Raises:
        ArtifactError: another process is building it, or there is no room for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _held(path):
        yield from _build(path, recipe, needs, facts)


def _build(path: Path, recipe: Recipe, needs: int, facts: Mapping[str, Any]) -> Iterator[Path]:
    _finish_swap(path)
    partial = _partial(path)
    if not _continues(partial, recipe):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        _write_json(partial / _RECIPE, asdict(recipe))
    _require_room(partial, needs)
    started = time.monotonic()
    yield partial
    (partial / _RECIPE).unlink()
    manifest = {
        "format": _FORMAT,
        "stage": recipe.stage,
        "recipe": recipe.digest,
        "settings": dict(recipe.settings),
        "inputs": dict(recipe.inputs),
        "seed": recipe.seed,
        "version": version("imageclef"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started, 3),
        **facts,
        "files": _inventory(partial),
    }
    _write_json(partial / MANIFEST, manifest)
    _swap_in(partial, path)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold an artifact against other processes; the file `.NAME.holder` says who does."""
    lock, holder = FileLock(_beside(path, "lock"), timeout=0), _beside(path, "holder")
    try:
        lock.acquire()
    except Timeout:
        raise ArtifactError(f"{path}: {_holder(holder)} is making it; wait until it is done") from None
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        _write_json(holder, {"process": os.getpid(), "host": socket.gethostname(), "since": since})
        yield
    finally:
        holder.unlink(missing_ok=True)
        # Still held: whoever opened the file in the meantime sees that it has no name any more.
        _beside(path, "lock").unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> str:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return f"process {facts['process']} on {facts['host']}, since {facts['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _require_room(partial: Path, needs: int) -> None:
    """Refuse work whose result would not fit, less what is there already."""
    there = sum(path.stat().st_blocks * 512 for path in partial.rglob("*") if path.is_file())
    free = shutil.disk_usage(partial).free
    if needs - there > free:
        raise ArtifactError(
            f"{partial.parent}: {needs / 1e6:,.1f} MB needed for {partial.name}, {free / 1e6:,.1f} MB free; "
            "make room, or set another workspace"
        )


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()


def _write_json(path: Path, value: Any) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, default=str)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def _continues(partial: Path, recipe: Recipe) -> bool:
    try:
        begun = json.loads((partial / _RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(_canonical(begun) == _canonical(asdict(recipe)))


def _inventory(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        for path in files
    }


def _beside(path: Path, what: str) -> Path:
    """A hidden sibling of an artifact."""
    return path.with_name(f".{path.name}.{what}")


def _partial(path: Path) -> Path:
    return _beside(path, "partial")


def _retired(path: Path) -> Path:
    return _beside(path, "retired")


def _swap_in(partial: Path, path: Path) -> None:
    """Rename, keeping the earlier artifact until the new one stands in its place."""
    shutil.rmtree(_retired(path), ignore_errors=True)
    if path.exists():
        path.rename(_retired(path))
    partial.rename(path)
    shutil.rmtree(_retired(path), ignore_errors=True)


def _finish_swap(path: Path) -> None:
    """After a kill between the two renames of `_swap_in`: put the new artifact in its place."""
    if not path.exists() and _retired(path).exists() and (_partial(path) / MANIFEST).exists():
        _partial(path).rename(path)
        shutil.rmtree(_retired(path), ignore_errors=True)
