"""What needs no network does not import PyTorch, faiss or scikit-learn: they take seconds before any work."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HEAVY = {"torch", "faiss", "sklearn", "matplotlib"}
CONFIG = """
device = "cpu"
[collections.train]
images = "train"
concepts = "train.csv"
[collections.test]
images = "test"
concepts = "test.csv"
[learner]
name = "pixels"
[split]
fraction = 0.4
[ingest]
workers = 1
"""
CODE = """
import sys
from imageclef.cli import main
sys.argv = ["imageclef", *sys.argv[1:]]
try:
    main()
finally:
    import json
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def modules_after(command: str, folder: Path) -> set[str]:
    """The modules that a command has imported when it is done, with exit code 0."""
    words = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def draw(folder: Path, name: str, n: int, seed: int) -> None:
    """Noise, bright or dark; an image has the concept of its brightness."""
    random = np.random.default_rng(seed)
    (folder / name).mkdir()
    lines = []
    for number in range(n):
        bright = number % 2
        pixels = random.integers(90 * bright, 90 * bright + 90, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{name}{number:02}.png")
        lines.append(f"{name}{number:02}\tC000000{bright};C0000005\n")
    (folder / f"{name}.csv").write_text("".join(lines))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    draw(folder, "train", 30, 0)
    draw(folder, "test", 6, 1)
    (folder / "imageclef.toml").write_text(CONFIG)
    assert not HEAVY & modules_after("ingest -q", folder), "the first ingest"
    for command in ("train -q", "extract -q", "classify -q", "index -q", "knn -q"):
        modules_after(command, folder)
    run = sorted((folder / "artifacts" / "runs").glob("*.csv"))[0]
    shutil.copy(run, folder / "run.csv")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "ingest",
        "train",
        "extract",
        "classify",
        "index",
        "index info",
        "index check",
        "similar --id train00",
        "sync",
        "check",
        "validate run.csv --ids test.csv",
        "evaluate run.csv test.csv",
        "merge run.csv run.csv --out merged.csv",
        "report run.csv --truth test.csv --out report.html",
        "findings run.csv --out findings --form jsonl --collection test",
    ],
)
def test_what_needs_no_network_imports_none(command: str, project: Path) -> None:
    assert not HEAVY & modules_after(command, project)
