from __future__ import annotations

import json
from pathlib import Path

import pytest

from imageclef.errors import ArtifactError
from imageclef.runs import publishing as module
from imageclef.runs.publishing import damaged, publishing, require_new_or_ours, tidy
from imageclef.storage.locks import held


def publish(path: Path, text: str) -> None:
    with publishing(path) as hidden:
        write(hidden, text)


def write(run: Path, text: str) -> None:
    run.with_suffix("").mkdir()
    (run.with_suffix("") / "held-out.csv").write_text(f"held out {text}")
    run.with_suffix(".json").write_text(json.dumps({"run": text}))
    run.write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix == ".csv"
    }


def test_all_of_a_run_appears_or_nothing(tmp_path: Path) -> None:
    publish(tmp_path / "a.csv", "first")
    first = {"a.csv": "first", "a/held-out.csv": "held out first"}
    assert content(tmp_path) == first
    with pytest.raises(RuntimeError, match="stop"), publishing(tmp_path / "a.csv") as hidden:
        write(hidden, "second")
        assert content(tmp_path) | first == content(tmp_path)
        raise RuntimeError("stop")
    assert content(tmp_path) == first
    publish(tmp_path / "a.csv", "third")
    assert content(tmp_path) == {"a.csv": "third", "a/held-out.csv": "held out third"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.csv", "a.json"]


@pytest.mark.parametrize("moves", range(4))
def test_a_kill_between_two_moves_is_made_good(
    moves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is never a new run beside old scores, nor an old one beside new ones."""
    publish(tmp_path / "a.csv", "old")
    replace, left = Path.replace, [moves]

    def replacing(self: Path, target: Path) -> Path:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replacing)
    if moves < 3:
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            publish(tmp_path / "a.csv", "new")
        assert not (tmp_path / "a.csv").exists()
    else:
        publish(tmp_path / "a.csv", "new")
    monkeypatch.undo()
    tidy(tmp_path)
    assert content(tmp_path) == {"a.csv": "new", "a/held-out.csv": "held out new"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.csv", "a.json"]


def test_what_the_dead_left_is_deleted_and_what_others_write_is_not(tmp_path: Path) -> None:
    for name in ("dead", "alive"):
        (tmp_path / f".{name}.{module.BEGUN}").mkdir()
    (tmp_path / ".gone.csv.lock").touch()
    with held(tmp_path / "alive.csv"):
        tidy(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [f".alive.{module.BEGUN}"]
    tidy(tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_byte_is_held_against_the_facts(tmp_path: Path) -> None:
    publish(tmp_path / "a.csv", "whole")
    facts = tmp_path / "a.json"
    assert damaged(facts) == []
    (tmp_path / "a.csv").write_text("whale")
    (tmp_path / "a" / "held-out.csv").unlink()
    wrong = damaged(facts)
    assert wrong == [
        f"{tmp_path}/a/held-out.csv: missing; {facts} names it",
        f"{tmp_path}/a.csv: other bytes than {facts} says",
    ]
    (tmp_path / "a" / "more").write_text("")
    assert damaged(facts)[2:] == [f"{tmp_path}/a/more: not in {facts}"]
    whole = facts.read_text()
    for text in ('{"run": "of an older version"}', "[]", "{", whole[:-1], whole.replace("whole", "whale")):
        facts.write_text(text)
        assert damaged(facts) == [f"{facts}: changed since it was written"]


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.zip", "a/mine.txt", ".a.run-begun/mine.txt"])
@pytest.mark.parametrize("force", [False, True])
def test_what_is_not_of_a_run_of_ours_stays(name: str, force: bool, tmp_path: Path) -> None:
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    place.write_text("mine")
    with (
        pytest.raises(ArtifactError, match=r"[/.]a[./:]"),
        publishing(tmp_path / "a.csv", force=force) as hidden,
    ):
        write(hidden, "ours")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [place]
    assert place.read_text() == "mine"


def test_what_others_put_beside_a_run_of_ours_stays(tmp_path: Path) -> None:
    publish(tmp_path / "a.csv", "first")
    (tmp_path / "a" / "mine.txt").write_text("mine")
    with (
        pytest.raises(ArtifactError, match=r"a/mine\.txt: "),
        publishing(tmp_path / "a.csv", force=True) as run,
    ):
        write(run, "second")
    assert (tmp_path / "a" / "mine.txt").read_text() == "mine"
    assert (tmp_path / "a.csv").read_text() == "first"


def test_a_run_that_was_edited_is_replaced_only_by_force(tmp_path: Path) -> None:
    publish(tmp_path / "a.csv", "first")
    (tmp_path / "a.csv").write_text("edited")
    with pytest.raises(ArtifactError, match=r"a\.csv: "):
        publish(tmp_path / "a.csv", "second")
    assert (tmp_path / "a.csv").read_text() == "edited"
    with publishing(tmp_path / "a.csv", force=True) as hidden:
        write(hidden, "third")
    assert (tmp_path / "a.csv").read_text() == "third"


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a/held-out.csv"])
def test_a_run_is_not_put_in_the_place_of_what_is_read(name: str, tmp_path: Path) -> None:
    publish(tmp_path / "a.csv", "first")
    read = tmp_path / "." / name
    inputs = [read if name != "a/held-out.csv" else read.parent]
    with pytest.raises(ArtifactError, match="is an input"):
        require_new_or_ours(tmp_path / "a.csv", inputs, force=True)
    require_new_or_ours(tmp_path / "b.csv", inputs)
