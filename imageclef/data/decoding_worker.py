"""A process that decodes, as the one that started it sees it.

Its program is `imageclef.data.decoding_process`, which says what goes to and fro.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from imageclef.config import ReadingSettings
from imageclef.data.decoding import Decoded
from imageclef.errors import ImageclefError, ImageRefused

PROGRAM = ("-P", "-m", "imageclef.data.decoding_process")
"""With -P, no module of the working directory is taken for one of Python's."""

_ROOT = Path(__file__).resolve().parents[2]
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_PIPE = 2**20

PATIENCE = 6
"""So many times its processor time a file may take in all: a slow disk is waited for, a hung one is not."""

Form = Mapping[str, int | str]
"""What becomes of a picture: `size` and `mode` as `decode` takes them, or `longest` as `decode_fitting`."""

Room = Callable[[tuple[int, ...], type[np.uint8]], NDArray[np.uint8]]
"""Makes the array of a shape and a type that a picture is read into; it is contiguous."""


class Ended(Exception):
    """A process ended before it had given all answers.

    Attributes:
        code: as of `subprocess.Popen.returncode`: the number of a signal below zero.
    """

    def __init__(self, code: int) -> None:
        super().__init__(signal.Signals(-code).name if code < 0 else f"exit code {code}")
        self.code = code

    @property
    def worked_too_long(self) -> bool:
        """Whether the file took too much processor time, which it would take again."""
        return self.code == -signal.SIGPROF

    def refusal(self, seconds: float) -> ImageRefused:
        """What is said of the file at which it ended."""
        if self.worked_too_long:
            return ImageRefused("timed out", f"{seconds:g} s")
        if self.code == -signal.SIGALRM:
            return ImageRefused("timed out", f"{seconds * PATIENCE:g} s, most of them waiting")
        return ImageRefused("crashed", f"its decoder ended by {self}")


class DecodingWorker:
    """A process that decodes files, one after the other; for one thread at a time."""

    def __init__(self, turns: int, program: Sequence[str] = PROGRAM) -> None:
        """Start it and wait until it is ready.

        Args:
            turns: descriptor of the file by which processes take turns at large pictures.
            program: what Python is called with.

        Raises:
            ImageclefError: it does not start.
            OSError: the system has no room for another process.
        """
        self._process = subprocess.Popen(
            [sys.executable, *program, str(turns)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": _import_path()},
            pass_fds=(turns,),
            process_group=0,  # an interrupt from the keyboard is for who started it
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        _widen(self._answers)
        if not self._answers.readline():
            ended = self._ended()
            raise ImageclefError(f"{sys.executable}: the process that decodes images did not start ({ended})")

    def decode(
        self, paths: Sequence[Path], form: Form, reading: ReadingSettings, room: Room
    ) -> Generator[Decoded | ImageRefused, None, None]:
        """Each file's picture, or why there is none, in order; all of them have to be taken.

        Raises:
            Ended: the process did, at the file that is next.
        """
        request = {
            "paths": [str(path.absolute()) for path in paths],
            "form": dict(form),
            "patience": reading.seconds * PATIENCE,
            **reading.model_dump(include=set(ReadingSettings.model_fields)),
        }
        try:
            self._requests.write(json.dumps(request).encode("ascii") + b"\n")
            self._requests.flush()
        except BrokenPipeError:
            raise self._ended() from None
        for _ in paths:
            line = self._answers.readline()
            if not line.endswith(b"\n"):
                raise self._ended()
            yield self._answer(json.loads(line), room)

    def end(self) -> None:
        """End it at once: it keeps nothing that would be lost."""
        self._process.kill()
        with suppress(BrokenPipeError):
            self._requests.close()
        self._answers.close()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def _answer(self, about: dict[str, Any], room: Room) -> Decoded | ImageRefused:
        if "kind" in about:
            return ImageRefused(about["kind"], about["detail"])
        pixels = room(tuple(about["shape"]), np.uint8)
        if self._answers.readinto(pixels.data.cast("B")) < pixels.nbytes:  # type: ignore[attr-defined]
            raise self._ended()
        return Decoded(pixels, about["width"], about["height"], about["applied"])

    def _ended(self) -> Ended:
        return Ended(self._process.wait())


def _import_path() -> str:
    """Where this process finds modules, so that the other finds the same."""
    return os.pathsep.join([*(entry or str(Path.cwd()) for entry in sys.path), str(_ROOT)])


def _widen(pipe: IO[bytes]) -> None:
    """Let the process go on with the next files while its answers wait to be read."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # beyond what the system grants a user, it stays as it is
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
