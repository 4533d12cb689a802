"""Command lines as real processes, started in milliseconds.

Python and torch take seconds to start, too long for hundreds of faults. So one process imports everything,
and forks for each command: the child is a process of its own, that calls `imageclef.cli.main` as ``python -m
imageclef`` does. The first process runs no command itself, so that no thread is there when it forks.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: its exit code, or the number of the signal that ended it, negative.
        said: all that it wrote.
        seconds: from its start.
    """

    code: int
    said: str
    seconds: float


@dataclass(frozen=True)
class Running:
    """A command that was started."""

    pid: int
    _launcher: Launcher
    _log: Path

    def signal(self, number: int) -> None:
        """Send a signal to it alone; it may be over."""
        if self.pid in self._launcher.alive:
            os.kill(self.pid, number)

    def so_far(self) -> str:
        """What it has written."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait(self) -> Ended:
        """Until it is over."""
        answer = self._launcher.ask({"wait": self.pid})
        self._launcher.alive.discard(self.pid)
        return Ended(answer["code"], self.so_far(), answer["seconds"])


@dataclass
class Launcher:
    """The process that forks.

    Attributes:
        logs: a folder for what the commands write.
        environment: what is different in that of the process.
        alive: the commands that nobody has waited for; their numbers cannot be another process's.
    """

    logs: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    alive: set[int] = field(default_factory=set)
    _process: subprocess.Popen[str] | None = None
    _started: int = 0

    def start(
        self,
        arguments: Sequence[str],
        *,
        largest_file: int | None = None,
        stopped: bool = False,
        environment: Mapping[str, str] | None = None,
        constants: Mapping[str, Any] | None = None,
    ) -> Running:
        """Start a command.

        Args:
            arguments: after ``imageclef``.
            largest_file: bytes that a file may have, as by ``ulimit -f``.
            stopped: let it stop itself before it does anything, for a tracer to be attached.
            environment: what is different in it.
            constants: of modules, by ``module:NAME``.
        """
        self._started += 1
        log = self.logs / f"{self._started}.txt"
        log.touch()
        asked = {
            "arguments": [str(argument) for argument in arguments],
            "log": str(log),
            "largest_file": largest_file,
            "stopped": stopped,
            "environment": dict(environment or {}),
            "constants": dict(constants or {}),
        }
        running = Running(self.ask(asked)["pid"], self, log)
        self.alive.add(running.pid)
        return running

    def run(self, arguments: Sequence[str], **options: Any) -> Ended:
        """Start a command and wait for its end."""
        return self.start(arguments, **options).wait()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send one line to the process, and read its answer."""
        if self._process is None:
            own = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "200"}
            environment = {**os.environ, **own, **self.environment}
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Fork for each request; a child leaves this function and runs its command."""
    started: dict[int, float] = {}
    while line := requests.readline():
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            seconds = time.monotonic() - started.pop(request["wait"])
            answer = {"code": os.waitstatus_to_exitcode(status), "seconds": seconds}
        else:
            child = os.fork()
            if child == 0:
                become(request)
                return
            if request["stopped"]:
                os.waitpid(child, os.WUNTRACED)
            started[child] = time.monotonic()
            answer = {"pid": child}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def become(request: Mapping[str, Any]) -> None:
    """Turn this process into the command."""
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(request["environment"])
    for name, value in request["constants"].items():
        module, constant = name.split(":")
        setattr(sys.modules[module], constant, value)
    if request["largest_file"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], resource.RLIM_INFINITY))
    sys.argv = ["imageclef", *request["arguments"]]
    if request["stopped"]:
        os.kill(os.getpid(), signal.SIGSTOP)


def import_everything() -> None:
    """All that a command would import."""
    import torch
    import torch._dynamo  # by the first step of an optimizer
    import torch.utils.tensorboard

    import imageclef.cli
    import imageclef.terminal  # noqa: F401
    from imageclef import stages

    for name in stages.__all__:
        getattr(stages, name)
    torch.set_num_threads(1)


def run_to_the_end() -> None:
    """Run the command, then leave at once: tearing down what torch imported takes longer than the command."""
    from imageclef.cli import main

    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    import_everything()
    gc.collect()
    gc.freeze()
    serve(sys.stdin, os.fdopen(os.dup(1), "w"))
    if sys.argv[0] == "imageclef":
        run_to_the_end()
