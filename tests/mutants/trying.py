"""Try a mutant: its change in a copy of the tree, and the tests of its module and of its room."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.mutants.sampling import ROOT, Mutant

_PATIENCE = 5
"""A mutant may take so many times as long as the unchanged code, and a minute: one that hangs is noticed."""

_COPIED = ("imageclef", "tests", "pipelines", "docs", "configs", "README.md", "Makefile", "pyproject.toml")


class Copy:
    """A copy of the tree, in which one mutant at a time is tried."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "tree"
        self._limits: dict[tuple[str, ...], float] = {}
        self._root.mkdir(parents=True)
        for name in _COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self._root / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (ROOT / name).exists():
                shutil.copy(ROOT / name, self._root / name)
        if (ROOT.parent / "shared").is_dir():
            (folder / "shared").symlink_to(ROOT.parent / "shared")

    def survives(self, mutant: Mutant) -> bool:
        """Whether all tests pass with it: first those of its module, then those of its room."""
        limits = [self._limit_of(tests) for tests in list_tests(mutant.path)]
        path = self._root / mutant.path
        unchanged = path.read_bytes()
        path.write_text(mutant.source(), encoding="utf-8")
        try:
            return all(self._pass(tests, limit) for tests, limit in limits)
        finally:
            path.write_bytes(unchanged)

    def _limit_of(self, tests: tuple[str, ...]) -> tuple[tuple[str, ...], float]:
        """The tests with their time limit, after they passed on the unchanged code."""
        if tests not in self._limits:
            started = time.monotonic()
            if not self._pass(tests, None):
                raise SystemExit(f"{' '.join(tests)} fail without any mutant; what they kill says nothing")
            self._limits[tests] = 60 + _PATIENCE * (time.monotonic() - started)
        return tests, self._limits[tests]

    def _pass(self, tests: tuple[str, ...], limit: float | None) -> bool:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        environment = {**os.environ, "PYTHONPATH": str(self._root), "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(
            command, cwd=self._root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            return process.wait(limit) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False


def list_tests(path: str) -> list[tuple[str, ...]]:
    """The tests of a module, where it has a file of its own, and those of its room, as pytest takes them."""
    module = Path(path)
    room = Path("tests", *module.parts[1:-1])
    own = room / f"test_{module.stem}.py"
    first = [(own.as_posix(),)] if (ROOT / own).exists() else []
    others = sorted(test.relative_to(ROOT).as_posix() for test in (ROOT / room).glob("test_*.py"))
    return [*first, tuple(others)]
