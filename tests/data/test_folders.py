from __future__ import annotations

import os
from pathlib import Path

import pytest

from imageclef.data.folders import files_below
from imageclef.errors import DataError


def touch(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")


def everything(name: str) -> bool:
    return True


def test_files_are_listed_by_their_paths_but_hidden_ones_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "b", "x/a.txt", "x/y/c", ".d", ".z/e", "x/.f")
    assert sorted(files_below(tmp_path, everything).paths) == ["b", "x/a.txt", "x/y/c"]
    assert files_below(tmp_path, lambda name: name.endswith(".txt")).paths == ["x/a.txt"]


def test_a_folder_is_entered_once_under_whatever_names(tmp_path: Path) -> None:
    touch(tmp_path, "in/x/a", "out/b")
    (tmp_path / "in/x/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/x/self").symlink_to("self")
    (tmp_path / "in/far").symlink_to(tmp_path / "out")
    (tmp_path / "in/x/far").symlink_to(tmp_path / "out")
    found = files_below(tmp_path / "in", everything)
    assert sorted(found.paths) == ["far/b", "x/a", "x/self"]
    assert found.closed == []


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a", "closed/b")
    scan = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = files_below(tmp_path, everything)
    assert (found.paths, found.closed) == (["a"], [("closed", "folder cannot be read: Permission denied")])
    with pytest.raises(DataError, match="closed: Permission denied; expected a folder that can be read"):
        files_below(tmp_path / "closed", everything)
