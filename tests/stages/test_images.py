from __future__ import annotations

import csv
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imageclef import stages
from imageclef.config import Config
from imageclef.data.store import ImageStore
from imageclef.errors import DataError
from tests.images.made_up import RNG, smooth

GOOD = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Good files, and one or two of every kind that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(GOOD):
        pixels = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"good{number:02}.png")
    return folder


def add_damaged(folder: Path) -> None:
    (folder / "text.png").write_text("no image")
    (folder / "empty.jpg").write_bytes(b"")
    for name in ("cut.jpg", "short.bmp"):
        Image.fromarray(smooth(60, 60)).save(folder / name)
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "nowhere.png").symlink_to("not-there.png")
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.png")


def config_of(folder: Path, **ingest: object) -> Config:
    return Config.model_validate(
        {
            "workspace": folder.parent / "artifacts",
            "device": "cpu",
            "collections": {"train": {"images": folder}},
            "learner": {"name": "pixels", "image_size": 16},
            "ingest": {"workers": 2, "salt": folder.parent / "salt", **ingest},
        }
    )


def store_of(folder: Path) -> ImageStore:
    return ImageStore.open(next((folder.parent / "artifacts" / "stores").glob("train-*")))


def everything(folder: Path) -> dict[str, bytes]:
    made = folder.parent / "artifacts"
    return {
        str(path.relative_to(made)): path.read_bytes()
        for path in sorted(made.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(made).parts)
    }


def test_what_is_refused_is_named_by_its_class(folder: Path) -> None:
    add_damaged(folder)
    report = stages.ingest(config_of(folder))
    figures = report.figures["train"]
    assert (figures["images"], figures["refused"]) == (GOOD, 7)
    assert figures["by_class"] == {"unreadable": 3, "truncated": 2, "not an image": 2}
    (note,) = [note for note in report.notes if "refused" in note]
    assert note.startswith("train: 7 files refused: 3 unreadable, 2 truncated, 2 not an image: cut.jpg (")
    assert note.endswith("refused.csv")
    with (store_of(folder).folder / "refused.csv").open(newline="") as file:
        table = {row["path"]: (row["class"], row["reason"]) for row in csv.DictReader(file)}
    assert {path: kind for path, (kind, _) in table.items()} == {
        "cut.jpg": "truncated",
        "short.bmp": "truncated",
        "empty.jpg": "not an image",
        "loop.png": "unreadable",
        "nowhere.png": "unreadable",
        "pipe.png": "unreadable",
        "text.png": "not an image",
    }
    assert table["nowhere.png"][1] == "No such file or directory"
    assert table["pipe.png"][1] == "not a regular file"


def test_a_strict_ingest_takes_all_or_nothing(folder: Path) -> None:
    stages.ingest(config_of(folder), strict=True)
    before = everything(folder)
    add_damaged(folder)
    message = (
        r"^train: 7 files refused: 3 unreadable, 2 truncated, 2 not an image: cut\.jpg \(.*\), empty\.jpg "
        r"\(an empty file\), loop\.png \(.*\) and 4 more; expected none, as the ingest is strict$"
    )
    for ways in ({"strict": True}, {}):
        with pytest.raises(DataError, match=message):
            stages.ingest(config_of(folder, strict=not ways), **ways)
        assert everything(folder) == before
    stages.ingest(config_of(folder))
    after = everything(folder)
    assert after != before
    with pytest.raises(DataError, match=message):  # of a store that is up to date, too
        stages.ingest(config_of(folder), strict=True)
    assert everything(folder) == after


def test_an_unusable_name_ends_a_strict_ingest_before_anything_is_decoded(folder: Path) -> None:
    (folder / "again").mkdir()
    Image.new("L", (8, 8)).save(folder / "again" / "good00.png")
    with pytest.raises(DataError, match=r"1 file refused: 1 id twice: good00\.png \(has the same id"):
        stages.ingest(config_of(folder), strict=True)
    assert not list((folder.parent / "artifacts").rglob("images.npy"))


def test_truncated_pictures_are_taken_on_request_and_marked(folder: Path) -> None:
    add_damaged(folder)
    stages.ingest(config_of(folder))
    report = stages.ingest(config_of(folder), accept_truncated=True)
    assert report.figures["train"]["by_class"] == {"unreadable": 3, "not an image": 2}
    store = store_of(folder)
    assert set(store.ids) >= {"cut", "short"}
    with (store.folder / "images.csv").open(newline="") as file:
        applied = {row["path"]: row["applied"] for row in csv.DictReader(file)}
    for cut in ("cut.jpg", "short.bmp"):
        assert applied.pop(cut) == "truncated: read up to the break"
    assert set(applied.values()) == {""}
    assert stages.ingest(config_of(folder), accept_truncated=True).wrote == []
    stages.ingest(config_of(folder, accept_truncated=True))
    assert len(list((folder.parent / "artifacts" / "stores").iterdir())) == 2


def test_limits_are_part_of_the_recipe(folder: Path) -> None:
    Image.new("RGB", (4000, 3000)).save(folder / "large.png")
    stages.ingest(config_of(folder, seconds=0.01))
    assert [refusal.kind for refusal in store_of(folder).refused] == ["timed out"]
    stages.ingest(config_of(folder, memory=16))
    assert [refusal.kind for refusal in store_of(folder).refused] == ["too large"]
    stages.ingest(config_of(folder))
    assert len(store_of(folder)) == GOOD + 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file and folder")
def test_what_may_not_be_read_is_refused(folder: Path) -> None:
    (folder / "good00.png").chmod(0)
    (folder / "closed").mkdir(mode=0)
    report = stages.ingest(config_of(folder))
    assert report.figures["train"]["by_class"] == {"unreadable": 2}


CHANGING = """
import os, sys
from pathlib import Path
folder = Path(sys.argv[1])
whole = (folder / "good00.png").read_bytes()
print("changing", flush=True)
while True:
    for number in range(0, 40, 2):
        path = folder / f"good{number:02}.png"
        os.truncate(path, len(whole) // 3) if path.exists() else None
        path.with_suffix(".away").write_bytes(whole)
        path.unlink(missing_ok=True)
        path.with_suffix(".away").rename(path)
"""


def test_files_that_change_and_vanish_are_read_or_refused(folder: Path) -> None:
    changing = subprocess.Popen([sys.executable, "-c", CHANGING, str(folder)], stdout=subprocess.PIPE)
    assert changing.stdout is not None
    try:
        assert changing.stdout.readline() == b"changing\n"
        for _ in range(3):
            report = stages.ingest(config_of(folder))
            figures = report.figures["train"]
            assert figures["images"] + figures["refused"] <= GOOD
            assert set(figures["by_class"]) <= {"truncated", "unreadable", "not an image", "damaged"}
            assert set(store_of(folder).ids) >= {f"good{number:02}" for number in range(1, GOOD, 2)}
    finally:
        changing.kill()
        changing.wait(20)


def test_an_ingest_leaves_no_threads(folder: Path) -> None:
    before = threading.active_count()
    stages.ingest(config_of(folder))
    assert threading.active_count() == before
