from __future__ import annotations

from pathlib import Path

import pytest

from imageclef.errors import ArtifactError
from imageclef.storage.artifacts import Recipe, building
from imageclef.storage.swap import finish, partial_of, require_our_own, retired_of, swap_in


def made(path: Path, text: str) -> Path:
    """An artifact with one file."""
    with building(path, Recipe("train", {"text": text})) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "model").write_text(text)
    return path


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_finished_folder_takes_the_place_of_the_earlier_one(tmp_path: Path) -> None:
    made(tmp_path / "a", "old")
    made(tmp_path / "b", "new").rename(partial_of(tmp_path / "a"))
    (partial_of(tmp_path / "a") / "checkpoint").write_text("to go on from")
    finish(tmp_path / "a")
    assert content(tmp_path) == {"a/deep/model": "new"}


def test_a_folder_whose_manifest_is_not_as_it_was_written_takes_no_place(tmp_path: Path) -> None:
    made(tmp_path / "a", "old")
    partial = made(tmp_path / "b", "new").rename(partial_of(tmp_path / "a"))
    manifest = partial / "manifest.json"
    manifest.write_text(manifest.read_text().replace("train", "Train"))
    finish(tmp_path / "a")
    swap_in(tmp_path / "a")
    assert content(tmp_path) == {"a/deep/model": "old", ".a.partial/deep/model": "new"}


def test_the_earlier_one_comes_back_after_a_kill_between_two_renames(tmp_path: Path) -> None:
    made(tmp_path / "a", "old").rename(retired_of(tmp_path / "a"))
    partial_of(tmp_path / "a").mkdir()
    swap_in(tmp_path / "a")
    assert content(tmp_path) == {"a/deep/model": "old"}


def test_what_others_put_into_an_earlier_artifact_is_not_deleted_with_it(tmp_path: Path) -> None:
    made(tmp_path / "a", "old").rename(retired_of(tmp_path / "a"))
    (retired_of(tmp_path / "a") / "deep" / "mine").write_text("mine")
    made(tmp_path / "b", "new").rename(tmp_path / "a")
    swap_in(tmp_path / "a")
    assert content(tmp_path) == {"a/deep/model": "new", ".a.retired/deep/mine": "mine"}


@pytest.mark.parametrize("hidden", [partial_of, retired_of])
def test_hidden_folders_of_others_are_refused(tmp_path: Path, hidden: object) -> None:
    require_our_own(tmp_path / "a")
    folder = hidden(tmp_path / "a")  # type: ignore[operator]
    folder.mkdir()
    (folder / "mine").write_text("mine")
    with pytest.raises(ArtifactError, match=folder.name):
        require_our_own(tmp_path / "a")
