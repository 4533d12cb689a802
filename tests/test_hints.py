"""Whatever a command says comes next can be typed as it is; editions and missing configurations are told."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imageclef.cli import app
from imageclef.demo.drawn import draw_collection


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with blanks in its name, whose configuration is not in the working directory."""
    folder = tmp_path / "my project"
    paths = {key: value.relative_to(folder) for key, value in vars(draw_collection(folder, 24, 8, 0)).items()}
    (folder / "c d.toml").write_text(
        'edition = "2023"\ndevice = "cpu"\nlearner = {name = "pixels"}\n'
        f'[collections.train]\nimages = "{paths["train_images"]}"\nconcepts = "{paths["train_concepts"]}"\n'
        f'[collections.test]\nimages = "{paths["test_images"]}"\nconcepts = "{paths["test_concepts"]}"\n'
    )
    monkeypatch.chdir(tmp_path)
    return folder


def told(*words: str) -> dict[str, object]:
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, (words, done.output)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_every_hint_can_be_typed(project: Path) -> None:
    options = ("-c", str(project / "c d.toml"), "--set", "classify.top=20")
    runs: list[str] = []
    for stage in ("ingest", "train", "extract", "classify", "index", "knn"):
        facts = told(stage, *options)
        runs += facts["runs"]  # type: ignore[operator]
        for hint in str(facts["next"]).split("   or   "):
            name, *words = shlex.split(hint)
            assert name == "imageclef"
            told(*words)
    _, *hint = shlex.split(str(told("ensemble", *runs, "--out", "e.csv", *options)["next"]))
    assert told(*hint)["edition"] == "2023"


def test_the_configured_edition_is_that_of_every_command(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("-c", str(project / "c d.toml"))
    for stage in ("ingest", "train", "extract", "classify"):
        runs = told(stage, *options)["runs"]
    (run,) = runs  # type: ignore[misc]
    truth = str(project / "test-concepts.csv")
    assert told("evaluate", run, truth, *options)["edition"] == "2023"
    monkeypatch.chdir(project)
    os.rename("c d.toml", "imageclef.toml")  # noqa: PTH104
    assert told("validate", str(Path("..", run)), "--ids", truth)["edition"] == "2023"
    refused = CliRunner().invoke(app, ["evaluate", str(Path("..", run)), truth, "--edition", "2018"])
    assert refused.exit_code == 1


def test_what_was_asked_for_holds_in_the_hint(project: Path) -> None:
    """Every line that is printed as the next command runs as it stands."""
    options = ["-c", str(project / "c d.toml"), "--device", "cpu"]
    for stage in ("ingest", "train", "extract", "classify", "index --kind hnsw", "index", "sync"):
        done = CliRunner().invoke(app, [*stage.split(), *options])
        assert done.exit_code == 0, (stage, done.output)
        lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
        hints = [line[1] for line in lines if line[0] in ("next", "or")]
        assert hints, stage
        for hint in hints:
            assert "--device cpu" in hint or "imageclef evaluate" in hint
            again = CliRunner().invoke(app, shlex.split(hint)[1:])
            assert again.exit_code == 0, (hint, again.output)


def test_a_missing_configuration_is_said(project: Path) -> None:
    facts = told("check")
    assert facts["artifacts"] == 0
    assert "no imageclef.toml" in str(facts["notes"])
    assert "no imageclef.toml" in CliRunner().invoke(app, ["check"]).stderr
    assert "toml" not in CliRunner().invoke(app, ["check", "--quiet"]).stderr
    assert "no imageclef.toml" in CliRunner().invoke(app, ["check", "--set", "seed=1"]).stderr
    refused = CliRunner().invoke(app, ["check", "--set", "seed=x"])
    assert "toml" not in refused.stderr


def test_the_edition_that_is_used_without_a_configuration_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.csv").write_text("a\tC1\n")
    words = ["validate", "run.csv", "--ids", "run.csv"]
    said = CliRunner().invoke(app, words)
    assert "no imageclef.toml in this folder; edition 2018 is used" in said.stdout
    assert not said.stderr
    assert "toml" not in CliRunner().invoke(app, [*words, "--edition", "2018"]).output
    (tmp_path / "ids.csv").write_text("b\tC1\n")
    refused = CliRunner().invoke(app, [*words[:-1], "ids.csv"])
    assert refused.exit_code == 1
    assert "toml" not in refused.output


def test_merge_counts_concepts_and_assignments(tmp_path: Path) -> None:
    for name, lines in (("a", "i1\tC1;C2\ni2\tC1\n"), ("b", "i1\tC2\ni2\tC3\n")):
        (tmp_path / f"{name}.csv").write_text(lines)
    runs = [str(tmp_path / f"{name}.csv") for name in "ab"]
    facts = told("merge", *runs, "--out", str(tmp_path / "m.csv"), "--edition", "2018")
    assert (facts["images"], facts["concepts"], facts["assignments"]) == (2, 3, 4)
