from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imageclef.errors import ArtifactError, MissingArtifact
from imageclef.storage.artifacts import Recipe, building, open_artifact, up_to_date

RECIPE = Recipe("train", {"epochs": 3}, {"store": "abc"}, seed=1)


def publish(path: Path, recipe: Recipe = RECIPE, text: str = "weights") -> None:
    with building(path, recipe, device="cpu") as folder:
        (folder / "deep").mkdir(exist_ok=True)
        (folder / "deep" / "model").write_text(text)


def test_a_published_artifact_names_what_it_was_made_from(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    manifest = open_artifact(tmp_path / "a", "imageclef train").manifest
    assert manifest["stage"] == "train"
    assert manifest["settings"] == {"epochs": 3}
    assert manifest["inputs"] == {"store": "abc"}
    assert manifest["seed"] == 1
    assert manifest["device"] == "cpu"
    assert manifest["files"]["deep/model"]["bytes"] == len("weights")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_only_the_same_recipe_is_up_to_date(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    assert up_to_date(tmp_path / "a", RECIPE)
    for other in (
        Recipe("extract", RECIPE.settings, RECIPE.inputs, 1),
        Recipe("train", {"epochs": 4}, RECIPE.inputs, 1),
        Recipe("train", RECIPE.settings, {"store": "abd"}, 1),
        Recipe("train", RECIPE.settings, RECIPE.inputs, 2),
    ):
        assert up_to_date(tmp_path / "a", other) is None


def test_the_digest_follows_the_bytes(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    publish(tmp_path / "b")
    publish(tmp_path / "c", text="others")
    digests = [open_artifact(tmp_path / name, "train").digest for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


def test_a_missing_artifact_names_the_command_that_makes_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(MissingArtifact, match=r"a is not there; `imageclef train` makes it"):
        open_artifact(tmp_path / "a", "imageclef train")


def test_a_file_of_another_size_is_named(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    (tmp_path / "a" / "deep" / "model").write_text("weigh")
    with pytest.raises(ArtifactError, match=r"model: not the 7 bytes"):
        open_artifact(tmp_path / "a", "imageclef train")
    assert up_to_date(tmp_path / "a", RECIPE) is None


def test_a_lost_file_is_named(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    (tmp_path / "a" / "deep" / "model").unlink()
    with pytest.raises(ArtifactError, match=r"model: missing; run `imageclef train` again"):
        open_artifact(tmp_path / "a", "imageclef train")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', "null"])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    publish(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json: not a manifest"):
        open_artifact(tmp_path / "a", "imageclef train")


def test_a_manifest_of_another_format_is_named(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(ArtifactError, match=r"format 99, expected 1"):
        open_artifact(tmp_path / "a", "imageclef train")


def test_an_error_leaves_the_earlier_artifact_and_the_work_done(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    newer = Recipe("train", {"epochs": 9})
    with pytest.raises(RuntimeError, match="stop"), building(tmp_path / "a", newer) as folder:
        (folder / "half").write_text("done")
        raise RuntimeError("stop")
    assert up_to_date(tmp_path / "a", RECIPE)
    with building(tmp_path / "a", newer) as folder:
        assert (folder / "half").read_text() == "done"
    assert up_to_date(tmp_path / "a", newer)


def test_work_of_another_recipe_is_discarded(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), building(tmp_path / "a", RECIPE) as folder:
        (folder / "half").write_text("done")
        raise RuntimeError("stop")
    with building(tmp_path / "a", Recipe("train", {"epochs": 9})) as folder:
        assert not (folder / "half").exists()


def test_a_kill_between_the_two_renames_is_mended(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    newer = Recipe("train", {"epochs": 9})
    publish(tmp_path / "b", newer, text="newer")
    (tmp_path / "a").rename(tmp_path / ".a.retired")
    (tmp_path / "b").rename(tmp_path / ".a.partial")
    assert up_to_date(tmp_path / "a", newer)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


WRITER = """
import sys, time
from pathlib import Path
from imageclef.storage.artifacts import Recipe, building
with building(Path(sys.argv[1]), Recipe("train", {"n": int(sys.argv[2])})) as folder:
    print("begun", flush=True)
    for part in range(40):
        (folder / f"part{part}").write_text(sys.argv[2] * 1000)
print("done", flush=True)
"""


def test_a_kill_at_any_moment_leaves_the_old_artifact_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    subprocess.run([sys.executable, "-c", WRITER, str(path), "1"], check=True)
    killed = 0
    for n in range(2, 10):
        command = [sys.executable, "-c", WRITER, str(path), str(n)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.003 * (n - 2))  # some of its files, all of them, its manifest
        os.kill(process.pid, signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        manifest = open_artifact(path, "imageclef train").manifest
        digit = str(manifest["settings"]["n"])
        for part in range(40):
            assert (path / f"part{part}").read_text() == digit * 1000
    assert killed >= 2


HOLD = """
import sys, time
from pathlib import Path
from imageclef.storage.artifacts import Recipe, building

with building(Path(sys.argv[1]), Recipe("train", {"epochs": 3}, {"store": "abc"}, seed=1)) as folder:
    (folder / "begun").write_text("so far")
    print("held", flush=True)
    time.sleep(60)
"""


def holding(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_is_making_it(tmp_path: Path) -> None:
    process = holding(tmp_path / "a")
    try:
        expected = rf"a: process {process.pid} on .*, since .*, is making it; wait until it is done"
        with pytest.raises(ArtifactError, match=expected):
            publish(tmp_path / "a")
        publish(tmp_path / "b")
    finally:
        process.kill()
        process.wait()


def test_the_lock_of_a_dead_process_is_taken_over_with_what_it_did(tmp_path: Path) -> None:
    process = holding(tmp_path / "a")
    process.kill()
    process.wait()
    with building(tmp_path / "a", RECIPE) as folder:
        assert (folder / "begun").read_text() == "so far"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_error_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), building(tmp_path / "a", RECIPE):
        1 / 0  # noqa: B018
    publish(tmp_path / "a")


def test_work_that_would_not_fit_is_refused_before_it_begins(tmp_path: Path) -> None:
    with (
        pytest.raises(ArtifactError, match=r"test_work.*: 1,000,000,000,000.0 MB needed for a, .* MB free"),
        building(tmp_path / "a", RECIPE, needs=10**18),
    ):
        raise AssertionError("begun")
