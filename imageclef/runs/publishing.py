"""Publish a run with what belongs beside it: all of it at once, or nothing.

A run `NAME.csv` is written into a hidden folder, with `NAME.json` and the folder `NAME`. When all is on the
disk the folder is renamed, and its parts move to their places, the run itself last. `NAME.json` names the
digest of every file, for `imageclef check`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from imageclef.errors import ArtifactError
from imageclef.storage.disk import to_disk, writing_into
from imageclef.storage.locks import held
from imageclef.storage.manifests import file_digest

BEGUN = "run-begun"
"""The end of the name of a hidden folder that a run is being written into."""

_READY = "run-ready"
_LEFT = re.compile(rf"\.(.+)\.({BEGUN}|{_READY}|csv\.lock)")
_MOMENT = 1.0


@contextmanager
def publishing(path: Path) -> Iterator[Path]:
    """Yield another path to write a run to; it is published when the block ends without an error.

    Args:
        path: where the run will be, ``NAME.csv``; what stands there stays until all of the new is written.

    Raises:
        ArtifactError: another process is writing it, or it cannot be written: no room, a read-only folder.
    """
    begun, ready = _begun(path), _ready(path)
    with writing_into(path.parent, path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(path, _MOMENT):
            _move(ready)
            shutil.rmtree(begun, ignore_errors=True)
            begun.mkdir()
            try:
                yield begun / path.name
                _seal(begun / path.name)
                begun.rename(ready)
            finally:
                shutil.rmtree(begun, ignore_errors=True)
            _move(ready)


def tidy(folder: Path) -> None:
    """Finish or delete what killed processes left in a folder; what others are writing is left alone."""
    left = (_LEFT.fullmatch(path.name) for path in folder.glob(".*"))
    for name in sorted({match[1] for match in left if match}):
        path = folder / f"{name}.csv"
        with suppress(ArtifactError), held(path):
            _move(_ready(path))
            shutil.rmtree(_begun(path), ignore_errors=True)


def damaged(facts: Path) -> list[str]:
    """What of a run is not as it was published, a line each.

    Args:
        facts: its ``NAME.json``; a file that is not of a run, or of one of an older version, says nothing.
    """
    try:
        files = json.loads(facts.read_text(encoding="utf-8"))["files"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    wrong = []
    for name, digest in files:
        path = facts.parent / name
        if not path.is_file():
            wrong.append(f"{path}: missing; {facts} names it")
        elif file_digest(path) != digest:
            wrong.append(f"{path}: other bytes than {facts} says")
    return wrong


def _begun(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{BEGUN}")


def _ready(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{_READY}")


def _seal(run: Path) -> None:
    """Write the digests of all files into `NAME.json`, once they are on the disk."""
    facts = run.with_suffix(".json")
    written = sorted(path for path in run.parent.rglob("*") if path.is_file() and path != facts)
    for path in written:
        to_disk(path)
    content = json.loads(facts.read_text(encoding="utf-8"))
    content["files"] = {path.relative_to(run.parent).as_posix(): file_digest(path) for path in written}
    facts.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    to_disk(facts)


def _move(ready: Path) -> None:
    """Put the parts in their places, the run last; a kill in between is made good by calling it again."""
    run = next(ready.glob("*.csv"), None)
    if run is not None:
        place = ready.parent / run.name
        # From here to the last rename there is no run: never an old one beside the scores of a new one.
        place.unlink(missing_ok=True)
        for part in sorted(path for path in ready.iterdir() if path != run):
            if part.is_dir():
                shutil.rmtree(ready.parent / part.name, ignore_errors=True)
            part.replace(ready.parent / part.name)
        run.replace(place)
        to_disk(place.parent)
    shutil.rmtree(ready, ignore_errors=True)
