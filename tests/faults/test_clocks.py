"""Clocks that are wrong: files of the future, a clock set back; nothing is taken for up to date by a date."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.faults.ground import Ground
from tests.faults.launcher import Launcher
from tests.faults.table import Table

pytestmark = pytest.mark.faults

PATH = ("ingest", "train aae", "extract", "import-features", "classify", "index build", "knn")
_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
_YEAR = 365 * 24 * 3600


@pytest.fixture
def images(ground: Ground) -> Iterator[Path]:
    """A copy of one image; what a test changes is put back."""
    image = sorted((ground.folder / "images" / "train").rglob("*.png"))[0]
    data, status = image.read_bytes(), image.stat()
    yield image
    image.write_bytes(data)
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))


def wrote(ground: Ground, name: str) -> bool:
    """Whether a command made anything; else it found all up to date."""
    ended = ground.run(name)
    assert ended.code == 0, ended.said
    return "  wrote" in ended.said


@pytest.mark.parametrize("year", [1971, 2000, 2037, 2100])
def test_a_changed_file_is_seen_whatever_its_date(
    year: int, ground: Ground, images: Path, table: Table
) -> None:
    ground.before("nothing more")
    Image.new("RGB", (30 + year % 7, 30), (year % 256, 0, 0)).save(images)
    os.utime(images, (0, (year - 1970) * _YEAR))
    assert wrote(ground, "ingest"), "a changed image was taken for up to date"
    assert not wrote(ground, "ingest"), "what is up to date was made again"
    table.add("a file of another year", "ingest", "what changed is made again, and only that")


def test_a_clock_that_is_set_back_changes_nothing(ground: Ground, tmp_path: Path, table: Table) -> None:
    """Each stage on an earlier day than the last, or years later; then all of them again on another."""
    if not _LIBRARIES:
        pytest.skip("needs libfaketime")
    days = [ground.launcher, *(on_another_day(day, tmp_path) for day in ("-400d", "+4000d"))]
    ground.before("ingest")
    for place, name in enumerate(PATH):
        ended = days[place % 3].run(ground.commands[name])
        assert ended.code == 0, ended.said
    for place, name in enumerate(PATH[:-1]):
        ended = days[(place + 1) % 3].run(ground.commands[name])
        assert "up to date" in ended.said, f"{name}: {ended.said}"
    checked = ground.launcher.run(["check", "--config", ground.commands["ingest"][-1]])
    assert checked.code == 0, checked.said
    made = ground.content()
    # A manifest names its inputs by digests, TensorBoard's files among them, whose content is a date.
    expected = {key: value for key, value in ground.expected["extract"].items() if "manifest" not in key}
    assert {key: made[key] for key in expected if key in made} == {
        key: value for key, value in expected.items() if key in made
    }
    for launcher in days[1:]:
        launcher.close()
    table.add("a clock set back, or years ahead", "the path", "nothing made again, nothing stale", 13)


def on_another_day(day: str, logs: Path) -> Launcher:
    folder = logs / day
    folder.mkdir()
    return Launcher(folder, {"LD_PRELOAD": str(_LIBRARIES[0]), "FAKETIME": day})
