"""Every command that writes leaves alone what others have put where it writes.

An audit hook of Python lists each path that a command opens for writing, makes or renames, hidden siblings
and sidecars included. A file, a folder and a link of a stranger are then put at each of them in turn.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import pytest

from imageclef import stages
from imageclef.errors import ImageclefError
from imageclef.stages import walk
from imageclef.storage.manifests import MANIFEST
from tests.small_path import COMMANDS, SmallPath, small_path

pytest.importorskip("pydicom")
pytest.importorskip("fastapi")

_UNIQUE = re.compile(r"\.\d+-\d+\.partial$")
"""Hidden names that hold the number of the process: made only where nothing stands."""
_FORCED = {command for command in COMMANDS if command not in ("index add", "index remove", "sync", "map")}

Written = set[Path]
_recording: list[Written] = []


def _record(event: str, arguments: tuple[object, ...]) -> None:
    if not _recording:
        return
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        paths = arguments[:1]
    elif event in ("os.rename", "os.mkdir"):
        paths = arguments[: 1 + (event == "os.rename")]
    else:
        return
    _recording[-1].update(Path(os.fsdecode(path)) for path in paths if isinstance(path, str | os.PathLike))


@contextmanager
def recorded(folder: Path) -> Iterator[Written]:
    """Yield a set that gets every path below a folder that is written in the block."""
    if not hasattr(sys, "_imageclef_records"):
        sys.addaudithook(_record)
        sys._imageclef_records = True  # type: ignore[attr-defined]
    written: Written = set()
    _recording.append(written)
    try:
        yield written
    finally:
        _recording.remove(written)
        kept = {path for path in written if path.is_relative_to(folder) and path != folder}
        written.clear()
        written |= {path for path in kept if not _UNIQUE.search(path.name)}


class _Noon(datetime):
    """A clock that stands still: runs are named by the minute."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SmallPath, dict[str, Written]]]:
    """The path, what was there before each command, and what each writes."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("imageclef.stages.publish.datetime", _Noon)
        path = small_path(tmp_path_factory.mktemp("strangers"))
        writes = {}
        for command in COMMANDS:
            path.keep(command)
            with recorded(path.place) as written:
                path.run(command)
            writes[command] = written
        path.keep("all")
        yield path, writes


def _outermost(places: Written) -> list[Path]:
    """Of what lies in one artifact, or in a hidden folder, its manifest and one file stand for all."""
    chosen, seen = [], set()
    for place in sorted(places):
        artifact = next(
            (one for one in place.parents if one.name.startswith(".") or one / MANIFEST in places), None
        )
        key = (artifact, place.name == MANIFEST)
        if artifact is None or key not in seen:
            chosen.append(place)
        seen.add(key)
    return chosen


def _put_stranger(place: Path, kind: str, elsewhere: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        place.write_text("mine")
    elif kind == "folder":
        place.mkdir()
        (place / "mine.txt").write_text("mine")
    else:
        elsewhere.mkdir(exist_ok=True)
        (elsewhere / "mine.txt").write_text("mine")
        place.symlink_to(elsewhere)


def _require_untouched(place: Path, kind: str, elsewhere: Path, told: str) -> None:
    assert os.path.lexists(place), f"{told}: {kind} at {place} is gone"
    if kind == "file":
        assert place.is_file(), told
        assert not place.is_symlink(), told
        assert place.read_text() == "mine", f"{told}: {place} was written"
        return
    assert place.is_symlink() == (kind == "link"), f"{told}: {place} was replaced"
    assert (place / "mine.txt").read_text() == "mine", f"{told}: {place}"
    if kind == "link":
        assert sorted(elsewhere.iterdir()) == [elsewhere / "mine.txt"], f"{told}: {place} was followed"


def _told(run: Callable[[], object]) -> str:
    """The message of an error of ours; empty where there was none."""
    try:
        run()
    except ImageclefError as error:
        return str(error)
    return ""


def _run_beside_stranger(path: SmallPath, command: str, place: Path, kind: str, force: bool) -> None:
    elsewhere = path.folder / "elsewhere"
    _put_stranger(place, kind, elsewhere)
    told = _told(lambda: path.run(command, force))
    # A lock or a half-written file is named beside the artifact that it belongs to.
    assert not told or str(place.parent) in told, f"{command} and {place}: {told}"
    assert "\n" not in told
    told = f"{command}, force={force}: {told or 'it succeeded'}"
    _require_untouched(place, kind, elsewhere, told)
    shutil.rmtree(elsewhere, ignore_errors=True)


@pytest.mark.parametrize(
    ("kind", "force"),
    [
        ("file", False),
        ("folder", True),
        pytest.param("file", True, marks=pytest.mark.slow),
        pytest.param("folder", False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_strangers_where_a_command_writes_first(
    command: str, kind: str, force: bool, ground: tuple[SmallPath, dict[str, Written]]
) -> None:
    path, writes = ground
    tried = 0
    for place in _outermost(writes[command]):
        path.restore(command)
        # What is there already is ours; a sidecar or a manifest is forged in the tests of storage.
        if not os.path.lexists(place):
            _run_beside_stranger(path, command, place, kind, force)
            tried += 1
    assert tried


@pytest.mark.parametrize(
    "kind",
    ["folder", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("file", "link"))],
)
@pytest.mark.parametrize("command", sorted(_FORCED))
def test_strangers_where_a_command_writes_again(
    command: str, kind: str, ground: tuple[SmallPath, dict[str, Written]]
) -> None:
    """Forced, it makes anew what is there: by hidden siblings, and within folders of ours."""
    path, _ = ground
    path.restore("all")
    with recorded(path.place) as written:
        path.run(command, force=True)
    path.restore("all")
    ours = {place for place in written if place.is_dir() and not place.is_symlink()}
    made = {
        place.parent for place in written if place.name == MANIFEST and not place.parent.name.startswith(".")
    }
    within = {folder / "photos" for folder in ours & (made | {run.with_suffix("") for run in path.runs})}
    for place in [*_outermost(written), *sorted(within)]:
        path.restore("all")
        if not os.path.lexists(place):
            _run_beside_stranger(path, command, place, kind, force=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
@pytest.mark.parametrize("name", ["data", "imageclef.toml", "similar.png", "artifacts"])
def test_the_demo_leaves_a_stranger_alone(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "_N_TRAIN", 30)
    monkeypatch.setattr(walk, "_N_TEST", 8)
    monkeypatch.setattr(walk, "_CONFIG", walk._CONFIG.split("[learner]")[0] + '[learner]\nname = "pixels"\n')
    place, elsewhere = tmp_path / "demo" / name, tmp_path / "elsewhere"
    _put_stranger(place, kind, elsewhere)
    told = _told(lambda: stages.demo(tmp_path / "demo"))
    assert not told or str(place) in told
    if name == "artifacts" and kind == "link":  # a workspace on another disk
        assert (elsewhere / "mine.txt").read_text() == "mine"
    else:
        _require_untouched(place, kind, elsewhere, told)
    if name == "similar.png":
        assert not (tmp_path / "demo" / "artifacts").exists(), "it began work whose result cannot be written"
