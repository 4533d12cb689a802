"""What the command line promises beyond the stages: speed of --help, one-line errors, exit codes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from imageclef.cli import app

GROUP: Any = typer.main.get_command(app)
COMMANDS = [
    f"{name} {part}" if part else name
    for name, command in GROUP.commands.items()
    for part in getattr(command, "commands", [""])
]
STAGES = ["ingest", "train", "extract", "classify", "index", "knn"]


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "imageclef", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_help_loads_neither_torch_nor_faiss_nor_pandas() -> None:
    code = "import sys; from typer.testing import CliRunner; from imageclef.cli import app; " \
        "r = CliRunner().invoke(app, ['--help']); assert r.exit_code == 0; " \
        "heavy = {'torch', 'faiss', 'pandas', 'numpy', 'pydantic', 'rich.progress'} & set(sys.modules); " \
        "sys.exit(f'loaded {heavy}' if heavy else 0)"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_says_what_it_does(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert shown.exit_code == 0
    assert re.split("Arguments:|Options:", shown.output)[0].strip().endswith(".")
    assert "--json" in shown.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    text = (Path(__file__).parents[1] / "docs" / "command-line.md").read_text()
    group, _, part = command.partition(" ")
    assert f"## imageclef {group}" in text
    assert f"`imageclef {command}" in text or not part


def test_scoring_needs_no_torch() -> None:
    code = "import sys; from imageclef import stages; stages.evaluate; stages.validate; " \
        "sys.exit('torch' in sys.modules)"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("stage", STAGES)
def test_a_wrong_setting_is_one_line_and_exit_code_1(stage: str, tmp_path: Path) -> None:
    done = run(stage, "--set", "classify.topp=3", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "unknown setting 'classify.topp'" in done.stderr


def test_the_index_is_built_where_no_other_command_is_named(tmp_path: Path) -> None:
    for arguments in (["index"], ["index", "build"]):
        assert "`imageclef extract` makes it" in run(*arguments, cwd=tmp_path).stderr
    misplaced = run("index", "--config", "other.toml", "info", cwd=tmp_path)
    assert misplaced.returncode == 2
    assert "unexpected extra argument" in misplaced.stderr


def test_learners_are_trained_on_one_collection(tmp_path: Path) -> None:
    done = run("train", "--collection", "valid", cwd=tmp_path)
    assert done.returncode == 2
    assert "learners are trained on collection train" in done.stderr


def test_wrong_usage_is_exit_code_2(tmp_path: Path) -> None:
    assert run("classify", "--top", "many", cwd=tmp_path).returncode == 2
    assert run("nonsense", cwd=tmp_path).returncode == 2


def test_without_collections_the_message_says_how_to_add_one(tmp_path: Path) -> None:
    done = run("ingest", cwd=tmp_path)
    assert done.returncode == 1
    assert "[collections.train]" in done.stderr


def test_a_refused_run_is_exit_code_1_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a\nb\n")
    (tmp_path / "run.csv").write_text("a\tC1\nb\tC1;C1\n")
    done = run("validate", "run.csv", "--ids", "ids.txt", "--edition", "2018", cwd=tmp_path)
    assert done.returncode == 1
    assert "run.csv:2" in done.stderr
    assert done.stderr.count("\n") == 1


def test_quiet_prints_nothing(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a\n")
    (tmp_path / "run.csv").write_text("a\tC1\n")
    done = run("validate", "run.csv", "--ids", "ids.txt", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_with_one_line(tmp_path: Path, number: signal.Signals, code: int) -> None:
    fifo = tmp_path / "slow.toml"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "imageclef", "ingest", "--config", str(fifo)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    written = os.open(fifo, os.O_WRONLY)  # waits until it is opened for reading, which then waits in turn
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    os.close(written)
    assert process.returncode == code
    assert errors.count("\n") == 1
    assert "the same command goes on from here" in errors


IMPORTING = """
import os, signal, sys, types
from imageclef import cli

def app():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except SystemExit as end:  # as an extension does that is being imported
        raise ImportError("initialization failed") from end

cli.app = app
cli.main()
"""


def test_a_signal_while_an_extension_is_imported_stops_with_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert len(done.stderr.splitlines()) == 1


def test_a_fault_of_ours_is_shown_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from imageclef import cli\ncli.app = lambda: 1 / 0\ncli.main()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
