"""The ways in which a user's files were once deleted or overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from imageclef.config import Config
from imageclef.errors import ArtifactError, ConfigError
from imageclef.settings import parse_settings
from imageclef.stages import ingest, merge
from tests.storage.test_ownership import bytes_below


def images(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for n in range(3):
        Image.new("L", (16, 16), 40 * n).save(folder / f"i{n}.png")
    return folder


@pytest.mark.parametrize("place", ["collections/train", "stores/train-72-rgb", "collections/.train.partial"])
@pytest.mark.parametrize("force", [False, True])
def test_images_in_the_place_of_an_artifact_stay(place: str, force: bool, tmp_path: Path) -> None:
    folder = images(tmp_path / place)
    before = bytes_below(folder)
    config = Config.model_validate({"workspace": tmp_path, "collections": {"train": {"images": folder}}})
    with pytest.raises(ArtifactError, match=str(folder.name)):
        ingest(config, force=force)
    assert bytes_below(folder) == before


@pytest.mark.parametrize(
    "name", ["../../train", "../x", "/x", "a/b", "a\\b", ".x", "..", "", "a+b", "a\n", " a"]
)
def test_the_name_of_a_collection_is_one_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^c\.toml: collections\."):
        parse_settings(Config, {"collections": {name: {"images": str(tmp_path)}}}, "c.toml")
    with pytest.raises(ConfigError, match=r"^c\.toml: features\."):
        parse_settings(Config, {"features": [name]}, "c.toml")


def test_merge_overwrites_neither_a_run_that_it_reads_nor_a_file_of_others(tmp_path: Path) -> None:
    a, b, c = (tmp_path / f"{name}.csv" for name in "abc")
    for path in (a, b, c):
        path.write_text(f"i1\tC000000{len(path.stem)}\n")
    before = bytes_below(tmp_path)
    for out in (b, tmp_path / "." / "b.csv", c):
        with pytest.raises(ArtifactError, match=f"{out.name}: "):
            merge([a, b], out, force=True)
    assert bytes_below(tmp_path) == before
    merge([a, b], tmp_path / "new.csv")
    merge([a, b], tmp_path / "new.csv")
