"""The README is run: its settings, its commands, its Python."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from imageclef.demo.drawn import draw_collection

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TINY = "\nimage_size = 36\ncrop_size = 32\nwidth = 8\nlatent_dim = 32\nepochs = 2\nbatch_size = 16\n"
"""What the README leaves to the preset, cut down so that the test takes seconds."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn collection under the names that the README uses."""
    folder = tmp_path_factory.mktemp("readme")
    drawn = draw_collection(folder / "drawn", 100, 20, seed=1)
    (folder / "data").mkdir()
    (folder / "data" / "train").symlink_to(drawn.train_images)
    (folder / "data" / "test").symlink_to(drawn.test_images)
    (folder / "data" / "train-concepts.csv").symlink_to(drawn.train_concepts)
    return folder


def write_settings(folder: Path, more: str) -> None:
    (settings,) = blocks("toml")
    (folder / "imageclef.toml").write_text(settings + more)


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}


def test_the_commands_run_in_their_order(data: Path) -> None:
    write_settings(data, TINY)
    (commands,) = [block for block in blocks("bash") if "imageclef ingest" in block]
    for line in commands.splitlines():
        done = subprocess.run(
            shlex.split(line), cwd=data, env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert "next" in done.stdout
    assert len(list((data / "artifacts" / "runs").glob("*.csv"))) == 2


def test_the_python_runs(data: Path) -> None:
    write_settings(data, "")
    (code,) = blocks("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=data, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    run, score = done.stdout.split()
    assert (data / run).exists()
    assert 0 < float(score) < 1


def test_make_has_the_targets_that_are_named() -> None:
    targets = set(re.findall(r"^([a-z0-9- ]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    known = {name for line in targets for name in line.split()}
    assert set(re.findall(r"\bmake ([a-z0-9-]+)", README)) <= known


def test_links_and_pictures_are_there() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            assert (ROOT / path).exists(), target
            headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.M) if anchor else []
            assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings], target
