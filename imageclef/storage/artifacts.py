"""Artifacts: folders that are published whole, or not at all.

A stage writes into a hidden sibling, ``.NAME.partial``; ``manifest.json`` is written last, then the
folder is renamed. A folder without a manifest does not exist. The manifest names what the artifact was
made from (its `Recipe`), so that a stage whose recipe has not changed is skipped, and a stage that was
killed finds the partial folder of the same recipe and goes on. A partial folder that has its manifest is
done: whoever comes next puts it in its place. One process at a time builds an artifact. Files whose name
begins with a dot are half-written, and never part of it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from imageclef.errors import ArtifactError, MissingArtifact
from imageclef.storage.checksums import CheckedArray, require_size, require_unchanged
from imageclef.storage.disk import require_room, size_of, writing_into
from imageclef.storage.locks import held
from imageclef.storage.manifests import (
    FORMAT,
    MANIFEST,
    inventory,
    read_manifest,
)
from imageclef.storage.ownership import require_replaceable
from imageclef.storage.sealed import BrokenSeal, read_sealed, write_sealed
from imageclef.storage.swap import MOMENT, RECIPE, finish, partial_of, require_our_own, swap_in

_ARRAY = ".npy"


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
    """A published folder and its manifest.

    Attributes:
        path: the folder.
        manifest: what `imageclef.storage.manifests` says of it.
        made_by: the command that makes it, for messages.
    """

    path: Path
    manifest: Mapping[str, Any]
    made_by: str

    @property
    def digest(self) -> str:
        """What later stages name as their input: the bytes of its files, however they came about."""
        return self.digest_of(*self.manifest["files"])

    def digest_of(self, *names: str) -> str:
        """The digest of some of its files; one that is not there counts as such."""
        files = self.manifest["files"]
        return hashlib.sha256(_canonical({name: files.get(name) for name in names})).hexdigest()

    def array(self, name: str) -> CheckedArray:
        """Open an array whose blocks are checked as its rows are read.

        Args:
            name: of a .npy file of the artifact.

        Raises:
            ArtifactError: it is not one of its files, or no array.
        """
        path, facts = self.path / name, self.manifest["files"].get(name)
        if facts is None:
            raise ArtifactError(f"{path}: not in the manifest; {self._again}")
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy lets through whatever its parser meets
            raise ArtifactError(f"{path}: not an array ({error}); {self._again}") from None
        if not isinstance(array, np.memmap):
            raise ArtifactError(f"{path}: not an array that can be mapped; {self._again}")
        return CheckedArray(array, path, facts["xxh3"], self._again)

    @property
    def _again(self) -> str:
        return f"run `{self.made_by} --force`"


def open_artifact(path: Path, made_by: str) -> Artifact:
    """Open a published artifact.

    Every file is read and checked, but arrays, which are checked as their rows are read: see
    `Artifact.array`.

    Args:
        path: its folder.
        made_by: the command that makes it, for the message.

    Raises:
        MissingArtifact: the folder or its manifest is not there.
        ArtifactError: the manifest cannot be read, or is of another format, or a file is missing or changed.
    """
    finish(path)
    artifact = Artifact(path, read_manifest(path, made_by), made_by)
    for name, facts in artifact.manifest["files"].items():
        check = require_size if name.endswith(_ARRAY) else require_unchanged
        check(path / name, facts, f"run `{made_by} --force`")
    return artifact


def verify(path: Path) -> list[str]:
    """Read every byte of a published artifact.

    Returns:
        What is wrong, a line each; nothing if it is what its manifest says.
    """
    finish(path)
    try:
        manifest = read_manifest(path, "the command that made it")
    except (ArtifactError, MissingArtifact) as error:
        return [str(error)]
    files, wrong = {**manifest["files"], **manifest["logs"]}, []
    for name, facts in files.items():
        try:
            require_unchanged(path / name, facts, f"run `imageclef {manifest['stage']} --force`")
        except ArtifactError as error:
            wrong.append(str(error))
    found = {file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()}
    return wrong + [f"{path / name}: not in its manifest" for name in sorted(found - {MANIFEST, *files})]


def up_to_date(path: Path, recipe: Recipe) -> Artifact | None:
    """The artifact at `path` if it was made by this very recipe and is whole, else None."""
    try:
        artifact = open_artifact(path, made_by=recipe.stage)
    except (MissingArtifact, ArtifactError):
        return None
    return artifact if artifact.manifest["recipe"] == recipe.digest else None


@contextmanager
def building(
    path: Path,
    recipe: Recipe,
    *,
    needs: int = 0,
    scratch: Sequence[str] = (),
    logs: Sequence[str] = (),
    final: Callable[[], Recipe] | None = None,
    force: bool = False,
    **facts: Any,
) -> Iterator[Path]:
    """Yield a folder to write into; publish it at `path` when the block ends without an error.

    After an error or a kill the partial folder stays, and the next call with the same recipe gets it
    back with what was done so far; a partial folder of another recipe is discarded.

    Args:
        path: where the artifact will be.
        recipe: what it is made from.
        needs: bytes that will be written, as far as that is known.
        scratch: files and folders that the work goes on from after a kill; not part of the artifact.
        logs: files and folders that are kept but do not identify the artifact: what holds times, say.
        final: the recipe, where all of it is known only when the work is done; `recipe` then tells whether a
            partial folder is gone on with.
        force: whether an artifact that was changed after it was written may be replaced.
        **facts: further entries of the manifest that do not identify the artifact, such as the device.

    Raises:
        ArtifactError: another process is building it, something that we did not make stands in its place, or
            it cannot be written: no room, a read-only folder.
    """
    require_replaceable(path, recipe.stage, force)
    with writing_into(path.parent, path.name, needs):
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(path, MOMENT):
            yield from _build(path, recipe, needs, (scratch, logs), final, facts)


def _build(
    path: Path,
    recipe: Recipe,
    needs: int,
    apart: tuple[Sequence[str], Sequence[str]],
    final: Callable[[], Recipe] | None,
    facts: Mapping[str, Any],
) -> Iterator[Path]:
    partial = partial_of(path)
    require_our_own(path)
    swap_in(path)
    if not _continues(partial, recipe):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        write_sealed(partial / RECIPE, {"recipe": asdict(recipe)})
    require_room(path.parent, path.name, needs, size_of(partial))
    started = time.monotonic()
    yield partial
    recipe = final() if final else recipe
    scratch, logs = apart
    files = inventory(partial, {RECIPE, *scratch})
    kept_apart = {name for name in files if name.split("/")[0] in logs}
    manifest = {
        "format": FORMAT,
        "stage": recipe.stage,
        "recipe": recipe.digest,
        "settings": dict(recipe.settings),
        "inputs": dict(recipe.inputs),
        "seed": recipe.seed,
        "version": version("imageclef"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started, 3),
        **facts,
        "files": {name: one for name, one in files.items() if name not in kept_apart},
        "logs": {name: one for name, one in files.items() if name in kept_apart},
    }
    write_sealed(partial / MANIFEST, manifest)
    swap_in(path)


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()


def _continues(partial: Path, recipe: Recipe) -> bool:
    try:
        begun = read_sealed(partial / RECIPE).get("recipe")
    except (OSError, BrokenSeal):
        return False
    return bool(_canonical(begun) == _canonical(asdict(recipe)))
