from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imageclef.errors import ArtifactError, MissingArtifact
from imageclef.storage.artifacts import Recipe, building, open_artifact, up_to_date, verify
from imageclef.storage.sealed import read_sealed, write_sealed

RECIPE = Recipe("train", {"epochs": 3}, {"store": "abc"}, seed=1)


def publish(path: Path, recipe: Recipe = RECIPE, text: str = "weights", force: bool = False) -> None:
    with building(path, recipe, device="cpu", force=force) as folder:
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
    with pytest.raises(ArtifactError, match=r"model: 5 bytes"):
        open_artifact(tmp_path / "a", "imageclef train")
    assert up_to_date(tmp_path / "a", RECIPE) is None


def test_a_lost_file_is_named(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    (tmp_path / "a" / "deep" / "model").unlink()
    with pytest.raises(ArtifactError, match=r"model: missing; run `imageclef train --force`"):
        open_artifact(tmp_path / "a", "imageclef train")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', "null", "[" * 100_000])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    publish(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json: "):
        open_artifact(tmp_path / "a", "imageclef train")


def test_a_manifest_of_another_format_is_named(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_text('{"format": 1, "stage": "train", "files": {"deep/model": {}}}')
    with pytest.raises(ArtifactError, match=r"a: .*format 1, expected 2.* `imageclef train --force`"):
        open_artifact(tmp_path / "a", "imageclef train")
    with pytest.raises(ArtifactError, match=r"format 1, expected 2"):
        publish(tmp_path / "a")
    publish(tmp_path / "a", force=True)
    assert up_to_date(tmp_path / "a", RECIPE)


def test_a_manifest_of_a_later_format_is_refused(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    value = read_sealed(tmp_path / "a" / "manifest.json")
    write_sealed(tmp_path / "a" / "manifest.json", {**value, "format": 99})
    with pytest.raises(ArtifactError, match=r"manifest\.json: not a manifest of format 2"):
        open_artifact(tmp_path / "a", "imageclef train")


def flipped(data: bytes) -> list[bytes]:
    """The data with one bit changed: in the first byte, the last, and some between."""
    places = sorted({0, len(data) - 1, *range(0, len(data), max(1, len(data) // 40))})
    return [data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :] for place in places]


@pytest.mark.parametrize("name", ["manifest.json", "deep/model"])
def test_a_changed_byte_of_any_file_is_noticed(name: str, tmp_path: Path) -> None:
    publish(tmp_path / "a")
    file = tmp_path / "a" / name
    data = file.read_bytes()
    for changed in [*flipped(data), data[:-1], data + b" ", b""]:
        file.write_bytes(changed)
        with pytest.raises(ArtifactError, match=re.escape(f"{file}: ")):
            open_artifact(tmp_path / "a", "imageclef train")
        assert any(line.startswith(f"{file}: ") for line in verify(tmp_path / "a"))
    file.write_bytes(data)
    assert not verify(tmp_path / "a")


def test_the_advice_on_a_damaged_manifest_can_be_followed(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    manifest = tmp_path / "a" / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"device": "cpu"', '"device": "gpu"'))
    with pytest.raises(ArtifactError, match=r"run `imageclef train --force`"):
        open_artifact(tmp_path / "a", "imageclef train")
    publish(tmp_path / "a", force=True)
    manifest.write_text(text[:-20])
    with pytest.raises(ArtifactError, match=r"move its folder away and run `imageclef train`"):
        open_artifact(tmp_path / "a", "imageclef train")
    with pytest.raises(ArtifactError, match=re.escape(f"{tmp_path / 'a'}: ")):
        publish(tmp_path / "a", force=True)
    (tmp_path / "a").rename(tmp_path / "b")
    publish(tmp_path / "a")
    assert up_to_date(tmp_path / "a", RECIPE)


def test_logs_are_checked_but_do_not_identify(tmp_path: Path) -> None:
    for name, log in (("a", "one"), ("b", "two")):
        with building(tmp_path / name, RECIPE, logs=("events",)) as folder:
            (folder / "model").write_text("weights")
            (folder / "events").mkdir()
            (folder / "events" / "log").write_text(log)
    one, two = (open_artifact(tmp_path / name, "imageclef train") for name in "ab")
    assert one.digest == two.digest
    assert not verify(tmp_path / "a")
    (tmp_path / "a" / "events" / "log").write_text("owe")
    assert open_artifact(tmp_path / "a", "imageclef train").digest == one.digest
    assert len(verify(tmp_path / "a")) == 1


def test_the_digest_is_that_of_the_bytes_alone(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    publish(tmp_path / "b", Recipe("train", {"epochs": 4}, {"store": "other"}))
    publish(tmp_path / "c", text="Weights")
    a, b, c = (open_artifact(tmp_path / name, "imageclef train") for name in "abc")
    assert a.digest == b.digest != c.digest
    assert a.digest_of("deep/model") == b.digest_of("deep/model") != a.digest_of("other")


def test_a_recipe_may_be_known_at_the_end(tmp_path: Path) -> None:
    begun = Recipe("ingest", {"times": 1})
    with pytest.raises(RuntimeError, match="stop"), building(tmp_path / "a", begun) as folder:
        (folder / "half").write_text("done")
        raise RuntimeError("stop")
    with building(tmp_path / "a", begun, final=lambda: RECIPE) as folder:
        assert (folder / "half").exists()
    assert up_to_date(tmp_path / "a", RECIPE)
    assert not up_to_date(tmp_path / "a", begun)


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
