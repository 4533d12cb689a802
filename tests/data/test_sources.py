from __future__ import annotations

import os
from pathlib import Path

import pytest

from imageclef.data import sources as module
from imageclef.data.collection import ImageFile
from imageclef.data.sources import (
    Source,
    content_of,
    file_of,
    look_at,
    read_sources,
    state_of,
    with_digests,
    write_sources,
)

IMAGES = [ImageFile("a", "a.jpg"), ImageFile("b1", "x/b.dcm#1"), ImageFile("b2", "x/b.dcm#2")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "x").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"one")
    (folder / "x" / "b.dcm").write_bytes(b"two")
    return folder


def read(folder: Path, known: dict[str, Source]) -> dict[str, Source]:
    return with_digests(folder, look_at(folder, IMAGES), known, lambda n: None)


def test_frames_of_a_file_are_one_source(folder: Path) -> None:
    assert set(look_at(folder, IMAGES)) == {"a.jpg", "x/b.dcm"}
    assert file_of("x/b.dcm#2") == "x/b.dcm"


def test_the_content_follows_every_change_of_bytes_names_and_ids_but_no_time(folder: Path) -> None:
    first = content_of(IMAGES, read(folder, {}))
    os.utime(folder / "a.jpg", ns=(0, 1))
    assert content_of(IMAGES, read(folder, {})) == first
    seen = {first}
    (folder / "a.jpg").write_bytes(b"eno")
    seen.add(content_of(IMAGES, read(folder, {})))
    (folder / "a.jpg").unlink()
    gone = read(folder, {})
    assert gone["a.jpg"] == Source(-1, 0, "")
    seen.add(content_of(IMAGES, gone))
    seen.add(content_of([ImageFile("c", "a.jpg"), *IMAGES[1:]], gone))
    assert len(seen) == 4


def test_the_state_follows_size_and_time(folder: Path) -> None:
    seen = {state_of(IMAGES, look_at(folder, IMAGES))}
    os.utime(folder / "a.jpg", ns=(0, 1))
    seen.add(state_of(IMAGES, look_at(folder, IMAGES)))
    (folder / "a.jpg").write_bytes(b"longer")
    os.utime(folder / "a.jpg", ns=(0, 1))
    seen.add(state_of(IMAGES, look_at(folder, IMAGES)))
    assert len(seen) == 3


def test_only_what_may_have_changed_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = read(folder, {})
    asked = []

    class Counting(module.Digests):
        def of(self, path: Path) -> str:
            asked.append(path)
            return super().of(path)

    monkeypatch.setattr(module, "Digests", Counting)
    assert read(folder, known) == known
    assert asked == []
    os.utime(folder / "a.jpg", ns=(0, 1))
    assert read(folder, known)["a.jpg"].digest == known["a.jpg"].digest
    assert asked == [folder / "a.jpg"]


def test_another_size_at_the_same_time_is_read(folder: Path) -> None:
    known = read(folder, {})
    (folder / "a.jpg").write_bytes(b"longer")
    os.utime(folder / "a.jpg", ns=(0, known["a.jpg"].changed))
    assert read(folder, known)["a.jpg"].digest != known["a.jpg"].digest


def test_the_cache_is_read_back_and_may_be_missing_or_damaged(folder: Path, tmp_path: Path) -> None:
    cache, sources = tmp_path / "cache" / "train.json", read(folder, {})
    assert read_sources(cache) == {}
    write_sources(cache, sources)
    assert read_sources(cache) == sources
    cache.write_bytes(cache.read_bytes()[:-5])
    assert read_sources(cache) == {}


def test_a_file_of_others_in_its_place_stays(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "train.json"
    cache.write_text("mine")
    write_sources(cache, read(folder, {}))
    assert cache.read_text() == "mine"
