"""Publish a run with what belongs beside it: all of it at once, or nothing.

A run `NAME.csv` is written into a hidden folder, with `NAME.json` and the folder `NAME`. When all is on the
disk the folder is renamed, and its parts move to their places, the run itself last. `NAME.json` names size
and checksums of every file, and carries its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from imageclef.errors import ArtifactError
from imageclef.storage.checksums import facts_of, is_facts
from imageclef.storage.disk import to_disk, writing_into
from imageclef.storage.locks import held
from imageclef.storage.ownership import not_ours, require_not_input
from imageclef.storage.sealed import BrokenSeal, is_half_written, is_sealed, read_sealed, write_sealed

BEGUN = "run-begun"
"""The end of the name of a hidden folder that a run is being written into."""

_READY = "run-ready"
_MARK = ".run-of-imageclef"
"""The first file of a hidden folder of a run; by it we know that the folder is ours."""

_LEFT = re.compile(rf"\.(.+)\.({BEGUN}|{_READY}|csv\.lock)")
_MOMENT = 1.0


def require_new_or_ours(path: Path, inputs: Iterable[Path] = (), force: bool = False) -> None:
    """Check that a run may be published at a path: the run file and all that belongs beside it.

    Args:
        path: of the run, ``NAME.csv``.
        inputs: what the command reads.
        force: whether files of ours that were changed since may be replaced.

    Raises:
        ArtifactError: one of the paths is an input, or something stands there that is not of a run of ours,
            or that was changed since and `force` is not set.
    """
    for place in _places(path):
        require_not_input(place, inputs)
    if _ready(path).exists():  # a kill came while it was being put in its place; that is finished first
        return
    files = _files_of(path.with_suffix(".json"))
    _require_no_others(path, files)
    for name, written in files.items():
        if not force and (path.parent / name).is_file() and facts_of(path.parent / name) != written:
            raise ArtifactError(
                f"{path.parent / name}: changed since imageclef wrote it; add --force to replace it"
            )


def _places(path: Path) -> list[Path]:
    """The facts of a run, by which all else is known, the run, its folder, and the zip of some editions."""
    return [path.with_suffix(end) for end in (".json", path.suffix, "", ".zip")]


def _require_no_others(path: Path, ours: Collection[str]) -> None:
    """Refuse whatever stands in a run's places that is not of these files; the facts name all others."""
    facts, folder = path.with_suffix(".json"), path.with_suffix("")
    for place in _places(path):
        if not os.path.lexists(place):
            continue
        if not ours or place.is_symlink() or place.is_dir() != (place == folder):
            raise not_ours(place)
        files = [one for one in place.rglob("*") if not one.is_dir()] if place == folder else [place]
        for file in files:
            if file != facts and file.relative_to(path.parent).as_posix() not in ours:
                raise not_ours(file)


@contextmanager
def publishing(path: Path, inputs: Iterable[Path] = (), force: bool = False) -> Iterator[Path]:
    """Yield another path to write a run to; it is published when the block ends without an error.

    Args:
        path: where the run will be, ``NAME.csv``; what stands there stays until all of the new is written.
        inputs: what the command reads.
        force: whether files of ours that were changed since may be replaced.

    Raises:
        ArtifactError: as for `require_new_or_ours`; or another process is writing it, or the disk does not
            take it: no room, a read-only folder.
    """
    begun, ready = _begun(path), _ready(path)
    require_new_or_ours(path, inputs, force)
    with writing_into(path.parent, path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(path, _MOMENT):
            for hidden in (begun, ready):
                _require_our_folder(hidden, path)
            _move(ready)
            require_new_or_ours(path, inputs, force)
            shutil.rmtree(begun, ignore_errors=True)
            begun.mkdir()
            try:
                write_sealed(begun / _MARK, {"run": path.name})
                yield begun / path.name
                _seal(begun / path.name)
                begun.rename(ready)
            finally:
                shutil.rmtree(begun, ignore_errors=True)
            _move(ready)


def _require_our_folder(hidden: Path, path: Path) -> None:
    """A hidden folder of a run that was being written holds nothing but that run."""
    if not os.path.lexists(hidden):
        return
    ours = {path.name, *(path.with_suffix(end).name for end in ("", ".json", ".zip"))}
    if hidden.is_symlink() or not hidden.is_dir():
        raise not_ours(hidden)
    there = list(hidden.iterdir())
    # A kill may have come while the mark was being written; half-written files of the run are named after it.
    begins = all(is_half_written(one, hidden / _MARK) for one in there)
    named = all(one.name in {*ours, _MARK} or one.name.startswith(f".{path.stem}.") for one in there)
    if not begins and not (named and is_sealed(hidden / _MARK, "run")):
        raise not_ours(hidden)


def tidy(folder: Path) -> None:
    """Finish or delete what killed processes left in a folder; what others are writing is left alone."""
    left = (_LEFT.fullmatch(path.name) for path in folder.glob(".*"))
    for name in sorted({match[1] for match in left if match}):
        path = folder / f"{name}.csv"
        with suppress(ArtifactError), held(path):
            for hidden in (_begun(path), _ready(path)):
                _require_our_folder(hidden, path)
            _move(_ready(path))
            shutil.rmtree(_begun(path), ignore_errors=True)


def require_as_published(run: Path) -> None:
    """Check every file of a run that we published; a run of others, without facts, passes.

    Raises:
        ArtifactError: a file of it was changed since, or is missing.
    """
    facts = run.with_suffix(".json")
    if facts.exists() and (wrong := damaged(facts)):
        raise ArtifactError(f"{wrong[0]}; expected the run as it was published")


def damaged(facts: Path) -> list[str]:
    """What of a run is not as it was published, a line each.

    Args:
        facts: its ``NAME.json``.
    """
    files, wrong = _files_of(facts), []
    if not files:
        return [f"{facts}: changed since it was written"]
    for name, written in files.items():
        path = facts.parent / name
        if not path.is_file():
            wrong.append(f"{path}: missing; {facts} names it")
        elif (found := _read(path)) != written:
            wrong.append(f"{path}: {found if isinstance(found, str) else f'other bytes than {facts} says'}")
    folder = facts.with_suffix("")
    known = {facts.parent / name for name in files}
    others = [one for one in sorted(folder.rglob("*")) if one.is_file() and one not in known]
    return wrong + [f"{one}: not in {facts}" for one in others]


def _read(path: Path) -> dict[str, Any] | str:
    """Size and checksums of a file, or why it cannot be read."""
    try:
        return facts_of(path)
    except OSError as error:
        return str(error.strerror)


def read_facts(facts: Path) -> dict[str, Any]:
    """What a run's ``NAME.json`` says of it; nothing where it was changed or is no such file."""
    try:
        return read_sealed(facts)
    except (OSError, BrokenSeal):
        return {}


def _files_of(facts: Path) -> dict[str, Any]:
    """Size and checksums of a run's files; none where the facts are not as they were written."""
    try:
        files = dict(read_sealed(facts)["files"])
    except (OSError, BrokenSeal, KeyError, TypeError, ValueError):
        return {}
    return files if all(map(is_facts, files.values())) else {}


def _begun(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{BEGUN}")


def _ready(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{_READY}")


def _seal(run: Path) -> None:
    """Write size and checksums of all files into `NAME.json`, once they are on the disk."""
    facts = run.with_suffix(".json")
    apart = {facts, run.with_name(_MARK)}
    written = sorted(path for path in run.parent.rglob("*") if path.is_file() and path not in apart)
    for path in written:
        to_disk(path)
    content = json.loads(facts.read_text(encoding="utf-8"))
    content["files"] = {path.relative_to(run.parent).as_posix(): facts_of(path) for path in written}
    write_sealed(facts, content)


def _move(ready: Path) -> None:
    """Put the parts in their places, the run last; a kill in between is made good by calling it again."""
    run = next(ready.glob("*.csv"), None)
    if run is not None:
        place = ready.parent / run.name
        new, old = (_files_of(one.with_suffix(".json")) for one in (run, place))
        _require_no_others(place, {*new, *old})
        # From here to the last rename there is no run: never an old one beside the scores of a new one.
        place.unlink(missing_ok=True)
        for part in sorted(path for path in ready.iterdir() if path not in (run, ready / _MARK)):
            if part.is_dir():
                shutil.rmtree(ready.parent / part.name, ignore_errors=True)
            part.replace(ready.parent / part.name)
        run.replace(place)
        to_disk(place.parent)
    shutil.rmtree(ready, ignore_errors=True)
