"""A process that decodes, as the one that started it sees it.

Its program is `imageclef.images.worker`, which says what goes to and fro.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from select import poll
from tempfile import TemporaryFile
from threading import Event
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from imageclef.config import ReadingSettings
from imageclef.errors import ImageclefError, ImageRefused
from imageclef.images.decode import Decoded
from imageclef.images.worker import PLACE_BYTES

PROGRAM = ("-P", "-m", "imageclef.images.worker")
"""With -P, no module of the working directory is taken for one of Python's."""

_ROOT = Path(__file__).resolve().parents[2]
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_PIPE = 2**20
_LOOK_UP = 250
"""Milliseconds after which one who waits for an answer looks whether all is to stop."""

PATIENCE = 6
"""So many times its processor time a file may take in all: a slow disk is waited for, a hung one is not."""

Form = Mapping[str, int | str]
"""What becomes of a picture: `size` and `mode` as `decode` takes them, or `longest` as `decode_fitting`."""


class Ended(Exception):
    """A process ended before it had given all answers.

    Attributes:
        code: as of `subprocess.Popen.returncode`: the number of a signal below zero.
        place: of the file at which it ended, among those it was given.
    """

    def __init__(self, code: int, place: int) -> None:
        super().__init__(signal.Signals(-code).name if code < 0 else f"exit code {code}")
        self.code, self.place = code, place

    @property
    def worked_too_long(self) -> bool:
        """Whether the file took too much processor time, which it would take again."""
        return self.code == -signal.SIGPROF

    @property
    def waited_too_long(self) -> bool:
        """Whether the file was waited for in vain: its bytes may never come."""
        return self.code == -signal.SIGALRM

    def refusal(self, seconds: float) -> ImageRefused:
        """What is said of the file at which it ended."""
        if self.worked_too_long:
            return ImageRefused("timed out", f"{seconds:g} s")
        if self.waited_too_long:
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
        self._place = TemporaryFile()  # noqa: SIM115, kept as long as the process
        files = turns, self._place.fileno()
        self._process = subprocess.Popen(
            [sys.executable, *program, *map(str, files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": _import_path()},
            pass_fds=files,
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
        self, paths: Sequence[Path], form: Form, reading: ReadingSettings, stop: Event | None = None
    ) -> list[Decoded | ImageRefused]:
        """Each file's picture, or why there is none, in order.

        Raises:
            Ended: the process did.
            CancelledError: all is to stop, and there was no answer yet.
        """
        request = {
            "paths": [str(path.absolute()) for path in paths],
            "form": dict(form),
            "patience": reading.seconds * PATIENCE,
            **reading.model_dump(include=set(ReadingSettings.model_fields)),
        }
        os.pwrite(self._place.fileno(), bytes(PLACE_BYTES), 0)
        try:
            self._requests.write(json.dumps(request).encode("ascii") + b"\n")
            self._requests.flush()
        except BrokenPipeError:
            raise self._ended() from None
        self._wait(stop)
        line = self._answers.readline()
        if not line.endswith(b"\n"):
            raise self._ended()
        return self._pictures(json.loads(line))

    def end(self) -> None:
        """End it at once: it keeps nothing that would be lost."""
        self._process.kill()
        with suppress(BrokenPipeError):
            self._requests.close()
        self._answers.close()
        self._process.wait()
        self._place.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def _wait(self, stop: Event | None) -> None:
        """For an answer, or for the end."""
        answers = poll()
        answers.register(self._answers)
        while not answers.poll(_LOOK_UP):
            if stop is not None and stop.is_set():
                raise CancelledError

    def _pictures(self, abouts: list[dict[str, Any]]) -> list[Decoded | ImageRefused]:
        ends = np.cumsum([math.prod(about.get("shape", (0,))) for about in abouts])
        pixels = np.empty(ends[-1], np.uint8)
        if self._answers.readinto(pixels.data) < pixels.nbytes:  # type: ignore[attr-defined]
            raise self._ended()
        return [_answer(about, part) for about, part in zip(abouts, np.split(pixels, ends[:-1]), strict=True)]

    def _ended(self) -> Ended:
        place = os.pread(self._place.fileno(), PLACE_BYTES, 0)
        return Ended(self._process.wait(), int.from_bytes(place))


def _answer(about: dict[str, Any], pixels: NDArray[np.uint8]) -> Decoded | ImageRefused:
    """What the process said of a file."""
    if "shape" in about:
        facts = about["width"], about["height"], about["applied"], about["digest"]
        return Decoded(pixels.reshape(about["shape"]), *facts)
    refusal = ImageRefused(about["kind"], about["detail"])
    refusal.digest = about["digest"]
    return refusal


def _import_path() -> str:
    """Where this process finds modules, so that the other finds the same."""
    return os.pathsep.join([*(entry or str(Path.cwd()) for entry in sys.path), str(_ROOT)])


def _widen(pipe: IO[bytes]) -> None:
    """Let the process go on with the next files while its answers wait to be read."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # beyond what the system grants a user, it stays as it is
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
