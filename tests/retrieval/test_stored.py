from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imageclef.errors import ArtifactError
from imageclef.retrieval import files, stored
from imageclef.retrieval.checking import check, info
from imageclef.retrieval.index import Index

DRIVER = Path(__file__).with_name("kill_driver.py")
ROOT = Path(stored.__file__).resolve().parents[2]


def driven(tmp_path: Path, *arguments: str) -> dict[str, dict[str, int]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(DRIVER), str(tmp_path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_kill_at_any_write_or_rename_leaves_the_old_index_or_the_new(tmp_path: Path) -> None:
    outcomes = driven(tmp_path, "points")
    assert sorted(outcomes) == ["add", "attach", "built over", "first", "ivf", "remove", "replace", "rewrite"]
    for name, counted in outcomes.items():
        # Each point is tried; before the rename the old index is found, after it the new one.
        assert counted["old"] >= 6, name
        assert counted["new"] >= 2, name


def test_a_killed_process_leaves_a_whole_index(tmp_path: Path) -> None:
    assert driven(tmp_path, "signals")["killed"]["whole"] == 20


def saved(folder: Path) -> Path:
    Index.build(np.eye(4, dtype=np.float32), list("abcd"), "l2").save(folder)
    return folder


def test_two_cannot_change_an_index_at_once(tmp_path: Path) -> None:
    saved(tmp_path)
    with (
        Index.changing(tmp_path) as one,
        pytest.raises(ArtifactError, match="another process is changing this index; wait for it"),
        Index.changing(tmp_path),
    ):
        one.remove(["a"])
    with Index.changing(tmp_path) as one:
        one.remove(["a"])
    assert Index.load(tmp_path).ids == list("bcd")


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("")
    with pytest.raises(ArtifactError, match=r"index: File exists; expected a folder for an index"):
        saved(tmp_path / "index")


def test_an_index_that_was_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    stale = Index.load(saved(tmp_path))
    with Index.changing(tmp_path) as index:
        index.remove(["a"])
    stale.remove(["b"])
    with pytest.raises(ArtifactError, match="another process has changed this index; load it again"):
        stale.save(tmp_path)
    assert Index.load(tmp_path).ids == list("bcd")


def test_an_open_index_goes_on_while_its_folder_changes(tmp_path: Path) -> None:
    reader = Index.load(saved(tmp_path))
    with Index.changing(tmp_path) as index:
        index.remove(["a", "b"])
    assert not (tmp_path / "rows-000001-0.npy").exists(), "half of the rows were dead"
    assert reader.search(np.eye(4, dtype=np.float32), 1)[1].ravel().tolist() == [0, 1, 2, 3]
    assert Index.load(tmp_path).ids == ["c", "d"]


def test_a_reader_meets_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest is read, then the index is rewritten, then the files that it named are gone."""
    saved(tmp_path)
    read_about, calls = stored.read_about, []

    def interrupted(folder: Path) -> dict[str, object]:
        about = read_about(folder)
        if not calls:
            calls.append(1)
            Index.build(np.eye(3, dtype=np.float32), list("xyz"), "l2").save(folder)
        return about

    monkeypatch.setattr(stored, "read_about", interrupted)
    assert Index.load(tmp_path).ids == list("xyz")


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "index.faiss").write_text("of format 1")
    with Index.changing(saved(tmp_path)) as index:
        index.remove(["a", "b", "c"])
    assert (tmp_path / "manifest.json").exists()
    assert not (tmp_path / "index.faiss").exists()


def test_an_index_is_copied_by_saving_it_elsewhere(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    index = Index.build(features, [f"i{row}" for row in range(300)], "cosine", kind="ivf", made_with="x")
    index.remove(["i3"])
    index.save(tmp_path / "one")
    Index.load(tmp_path / "one").save(tmp_path / "two")
    assert check(tmp_path / "two") == []
    one, two = (info(tmp_path / name) for name in ("one", "two"))
    assert {**two, "digest": ""} == {**one, "digest": ""}
    one, two = (Index.load(tmp_path / name).search(features, 5) for name in ("one", "two"))
    np.testing.assert_array_equal(one[1], two[1])


def test_a_write_that_is_cut_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(files.os, "write", lambda descriptor, data: write(descriptor, data[:50]))
    saved(tmp_path)
    assert check(tmp_path) == []


def test_a_full_disk_leaves_the_index_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path)
    (tmp_path / "rows-000002-0.npy").write_text("left by a kill, and all that is in the way")

    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "write", full)
    with (
        pytest.raises(ArtifactError, match=r"rows-000002-1\.npy: No space left on device; the index stays"),
        Index.changing(tmp_path) as index,
    ):
        index.add(np.ones((1, 4), np.float32), ["e"])
    monkeypatch.undo()
    assert not (tmp_path / "rows-000002-0.npy").exists(), "its room is free before new files are written"
    assert check(tmp_path) == []
    assert Index.load(tmp_path).ids == list("abcd")
