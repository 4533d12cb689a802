"""Faults at single system calls, by strace: which a command makes, and what happens at the n-th of them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.launcher import Ended, Launcher

CHANGING = ("rename", "unlink", "unlinkat", "rmdir", "mkdir", "fsync", "write", "ftruncate", "fallocate")
"""System calls by which something is put on a disk or taken from it."""

_CALL = re.compile(r"^(?P<pid>\d+) +(?P<name>\w+)\((?P<arguments>.*)$")


@dataclass(frozen=True)
class Call:
    """The n-th call of a name that a command's first thread makes, counted from 1 as strace does."""

    name: str
    n: int
    arguments: str = ""

    def with_fault(self, fault: str) -> str:
        """As strace takes it."""
        return f"inject={self.name}:{fault}:when={self.n}"


def require_strace() -> None:
    """Skip where nothing can be traced."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("strace may not trace here")


def traced(
    launcher: Launcher,
    arguments: Sequence[str],
    *options: str,
    path: Path | None = None,
    log: str = os.devnull,
) -> Ended:
    """Run a command under strace.

    Args:
        launcher: starts it.
        arguments: after ``imageclef``.
        options: as strace takes them after ``-e``.
        path: calls on this file alone are meant.
        log: a file for the calls.
    """
    running = launcher.start(arguments, stopped=True)
    tracer = ["strace", "-f", "-y", "-o", log, "-p", str(running.pid)]
    tracer += [f"-e{option}" for option in options] + (["-P", str(path)] if path else [])
    with subprocess.Popen(tracer, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        assert "attached" in strace.stderr.readline()
        os.kill(running.pid, signal.SIGCONT)
        ended = running.wait()
        strace.stderr.read()
    return ended


def calls_on(folder: Path, launcher: Launcher, arguments: Sequence[str], names: Sequence[str]) -> list[Call]:
    """The calls of these names that a command's first thread makes on files below a folder."""
    with tempfile.NamedTemporaryFile() as log:
        ended = traced(launcher, arguments, "trace=" + ",".join(names), log=log.name)
        lines = Path(log.name).read_text(encoding="utf-8", errors="replace").splitlines()
    assert ended.code == 0, ended.said
    found: list[Call] = []
    counts: dict[str, int] = {}
    first = lines[0].split()[0]
    for match in filter(None, map(_CALL.match, lines)):
        if match["pid"] == first:
            counts[match["name"]] = counts.get(match["name"], 0) + 1
            if str(folder) in match["arguments"] and " = -1 " not in match["arguments"]:
                found.append(Call(match["name"], counts[match["name"]], match["arguments"]))
    return found
