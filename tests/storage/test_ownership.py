from __future__ import annotations

import re
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from imageclef.errors import ArtifactError
from imageclef.storage.artifacts import Recipe, building, open_artifact
from imageclef.storage.ownership import require_not_input

OLD, NEW = Recipe("train", {"epochs": 1}), Recipe("train", {"epochs": 2})


def publish(path: Path, recipe: Recipe, force: bool = False) -> None:
    with building(path, recipe, force=force) as folder:
        (folder / "deep").mkdir(exist_ok=True)
        (folder / "deep" / "model").write_text(str(recipe.settings))


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(place: Path) -> AbstractContextManager[object]:
    return pytest.raises(ArtifactError, match=re.escape(f"{place}: "))


@pytest.mark.parametrize("name", ["a", ".a.partial"])
@pytest.mark.parametrize("content", [{"photo.png": "mine"}, {"manifest": "{}", "photo.png": "mine"}])
def test_a_folder_of_others_stays(name: str, content: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    for file, text in content.items():
        (tmp_path / name / file).write_text(text)
    before = bytes_below(tmp_path)
    for force in (False, True):
        with refused(tmp_path / name):
            publish(tmp_path / "a", NEW, force)
    assert bytes_below(tmp_path) == before
    assert (tmp_path / name).is_dir()


@pytest.mark.parametrize("name", ["a", ".a.partial", ".a.lock", ".a.holder"])
def test_a_file_of_others_stays(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with refused(tmp_path / name):
        publish(tmp_path / "a", NEW, force=True)
    assert bytes_below(tmp_path) == {name: b"mine"}


def test_what_another_stage_made_stays(tmp_path: Path) -> None:
    publish(tmp_path / "a", Recipe("ingest", {}))
    before = bytes_below(tmp_path)
    with refused(tmp_path / "a"):
        publish(tmp_path / "a", NEW, force=True)
    assert bytes_below(tmp_path) == before


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    publish(tmp_path / "a", NEW)
    assert open_artifact(tmp_path / "a", "train").manifest["recipe"] == NEW.digest


def test_a_link_stays_with_what_it_points_to(tmp_path: Path) -> None:
    publish(tmp_path / "real", OLD)
    (tmp_path / "a").symlink_to(tmp_path / "real")
    with refused(tmp_path / "a"):
        publish(tmp_path / "a", NEW, force=True)
    assert (tmp_path / "a").is_symlink()
    assert open_artifact(tmp_path / "real", "train").manifest["recipe"] == OLD.digest


def test_what_others_added_to_an_artifact_stays(tmp_path: Path) -> None:
    publish(tmp_path / "a", OLD)
    (tmp_path / "a" / "deep" / "notes.txt").write_text("mine")
    before = bytes_below(tmp_path)
    for force in (False, True):
        with refused(tmp_path / "a" / "deep" / "notes.txt"):
            publish(tmp_path / "a", NEW, force)
    assert bytes_below(tmp_path) == before


def test_what_others_changed_is_replaced_only_by_force(tmp_path: Path) -> None:
    publish(tmp_path / "a", OLD)
    model = tmp_path / "a" / "deep" / "model"
    model.write_text(model.read_text().replace("1", "7"))
    before = bytes_below(tmp_path)
    with refused(model):
        publish(tmp_path / "a", NEW)
    assert bytes_below(tmp_path) == before
    publish(tmp_path / "a", NEW, force=True)
    assert open_artifact(tmp_path / "a", "train").manifest["recipe"] == NEW.digest


def test_what_we_made_is_replaced(tmp_path: Path) -> None:
    publish(tmp_path / "a", OLD)
    publish(tmp_path / "a", NEW)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    (tmp_path / "a" / "deep" / "model").unlink()
    publish(tmp_path / "a", OLD)
    assert open_artifact(tmp_path / "a", "train").manifest["recipe"] == OLD.digest


def test_a_stranger_who_comes_meanwhile_stays(tmp_path: Path) -> None:
    with refused(tmp_path / "a"), building(tmp_path / "a", NEW):
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "photo.png").write_text("mine")
    assert (tmp_path / "a" / "photo.png").read_text() == "mine"
    shutil.rmtree(tmp_path / "a")
    assert open_artifact(tmp_path / "a", "train").manifest["recipe"] == NEW.digest


def test_an_output_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for out in (tmp_path / "run.csv", tmp_path / "data" / ".." / "run.csv", tmp_path / "data" / "x.csv"):
        with refused(out):
            require_not_input(out, [tmp_path / "run.csv", tmp_path / "data"])
    require_not_input(tmp_path / "other.csv", [tmp_path / "run.csv", tmp_path / "data"])
