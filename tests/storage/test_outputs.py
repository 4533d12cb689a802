from __future__ import annotations

import re
from pathlib import Path

import pytest

from imageclef.errors import ArtifactError
from imageclef.storage import outputs
from imageclef.storage.outputs import output_file, require_writable


def write(path: Path, text: str, force: bool = False) -> None:
    with output_file(path, force=force) as hidden:
        hidden.write_text(text)


def test_a_file_of_ours_is_replaced(tmp_path: Path) -> None:
    for text in ("first", "second", "third"):
        write(tmp_path / "deep" / "out.csv", text)
        assert (tmp_path / "deep" / "out.csv").read_text() == text
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == [".out.csv.imageclef", "out.csv"]


@pytest.mark.parametrize("force", [False, True])
def test_a_file_of_others_stays(force: bool, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("mine")
    with pytest.raises(ArtifactError, match=re.escape(f"{path}: ")):
        write(path, "ours", force)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("out.csv", "mine")]


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_a_link_and_another_sidecar_stay(force: bool, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / ".out.csv.imageclef").write_text("mine")
    for name, named in (("folder", "folder"), ("link", "link"), ("out.csv", ".out.csv.imageclef")):
        with pytest.raises(ArtifactError, match=re.escape(f"{tmp_path / named}: ")):
            write(tmp_path / name, "ours", force)
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "link", ".out.csv.imageclef"}
    assert (tmp_path / ".out.csv.imageclef").read_text() == "mine"


def test_a_file_of_ours_that_was_edited_is_replaced_by_force(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write(path, "ours")
    path.write_text("edit")
    with pytest.raises(ArtifactError, match=re.escape(f"{path}: ")):
        write(path, "new")
    assert path.read_text() == "edit"
    write(path, "new", force=True)
    assert path.read_text() == "new"


def test_an_input_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "run.csv", "ours")
    with pytest.raises(ArtifactError, match=r"run\.csv"):
        require_writable(tmp_path / "run.csv", [tmp_path / "." / "run.csv"], force=True)


def test_after_an_error_or_a_kill_the_file_is_still_known_as_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.csv"
    write(path, "first")
    with pytest.raises(RuntimeError, match="stop"), output_file(path) as hidden:
        hidden.write_text("half")
        raise RuntimeError("stop")
    write_sealed = outputs.write_sealed

    def killed_after(target: Path, value: dict[str, object]) -> None:
        write_sealed(target, value)
        raise KeyboardInterrupt

    monkeypatch.setattr(outputs, "write_sealed", killed_after)
    with pytest.raises(KeyboardInterrupt):
        write(path, "second")
    monkeypatch.undo()
    assert path.read_text() == "first"
    write(path, "third")
    assert path.read_text() == "third"
