"""Image files are decoded in processes that may die: a fault of native code costs a file, never the run.

A process that ends at a file is replaced, and the file is tried once more; if the new one ends too, the file
is refused. A file that takes too much processor time is refused at once. Processes that wait for
files are kept as long as this one lives, so that their start is paid once.

They are plain children with two pipes, not those of `multiprocessing`: nothing is pickled, the caller's main
module is not imported again, and no thread of the caller is forked.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event, Lock
from typing import IO

from imageclef.config import ReadingSettings
from imageclef.errors import ImageclefError, ImageRefused
from imageclef.images.decode import Decoded, Mode
from imageclef.images.dicom.windows import read_window
from imageclef.images.digests import Digests
from imageclef.images.process import PROGRAM, DecodingWorker, Ended, Form

AS_IT_IS = ReadingSettings()
"""Files are read as they are, within the limits that hold where nothing else is said."""


class Decoders:
    """Processes that decode, for any number of threads: each call has one for itself."""

    def __init__(self, program: Sequence[str] = PROGRAM) -> None:
        self._program = program
        self._turns: IO[bytes] | None = None
        self.forget()

    def forget(self) -> None:
        """Begin without any: in a forked process, those of its parent are not its own."""
        self._idle: list[DecodingWorker] = []
        self._lock = Lock()

    def waiting(self) -> list[int]:
        """Numbers of the processes that wait for files."""
        with self._lock:
            return [worker.pid for worker in self._idle]

    def close(self) -> None:
        """End those that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def decode(
        self, paths: Sequence[Path], form: Form, reading: ReadingSettings, stop: Event | None = None
    ) -> list[Decoded | ImageRefused]:
        """Each file's picture, or why there is none, in order.

        Args:
            paths: the files; where a process ends at one, the others are decoded anew, so they are not many.
            form: what becomes of them.
            reading: how they are read.
            stop: set where nobody wants the answers any more.

        Raises:
            ConfigError: the window is none.
            ImageclefError: no process can be started.
            CancelledError: all is to stop.
        """
        if reading.window:
            read_window(reading.window)  # said once, not of every file
        answers: dict[int, Decoded | ImageRefused] = {}
        ended_once: set[int] = set()
        while left := [number for number in range(len(paths)) if number not in answers]:
            try:
                found = self._by_one_worker([paths[number] for number in left], form, reading, stop)
                answers |= zip(left, found, strict=True)
            except Ended as ended:
                number = left[ended.place]
                if number in ended_once or ended.worked_too_long:
                    answers[number] = refusal = ended.refusal(reading.seconds)
                    if not ended.waited_too_long:
                        refusal.digest = Digests().of(paths[number])
                ended_once.add(number)
        return [answers[number] for number in range(len(paths))]

    def _by_one_worker(
        self, paths: Sequence[Path], form: Form, reading: ReadingSettings, stop: Event | None
    ) -> list[Decoded | ImageRefused]:
        """One that has answered is kept."""
        worker = self._worker()
        try:
            answers = worker.decode(paths, form, reading, stop)
        except BaseException:  # it has ended, or is at what nobody wants
            worker.end()
            raise
        with self._lock:
            self._idle.append(worker)
        return answers

    def _worker(self) -> DecodingWorker:
        """One that waits, or another."""
        try:
            with self._lock:
                if self._idle:
                    return self._idle.pop()
                if self._turns is None:  # it has no name, so that none is left behind
                    self._turns = TemporaryFile()  # noqa: SIM115, kept as long as the processes
            return DecodingWorker(self._turns.fileno(), self._program)
        except OSError as error:
            raise ImageclefError(f"no process to decode images can be started: {error.strerror}") from None


decoders = Decoders()
"""Those of this process."""
atexit.register(decoders.close)
os.register_at_fork(after_in_child=decoders.forget)


def decode_guarded(path: Path, size: int, mode: Mode, reading: ReadingSettings = AS_IT_IS) -> Decoded:
    """Read an image file and stretch it to a square, as `decode` does, in a process that may die.

    Args:
        path: as in `decode`.
        size: side of the square in pixels.
        mode: the channels wanted.
        reading: how it is read, and what that may take; ``config.ingest`` is one.

    Raises:
        ImageRefused: the file cannot be read, for whatever reason.
        ConfigError: the window is none.
        ImageclefError: no process can be started.
    """
    return _only(path, {"size": size, "mode": mode}, reading)


def decode_fitting_guarded(path: Path, longest: int, reading: ReadingSettings = AS_IT_IS) -> Decoded:
    """Read an image file in colour and in its own proportions, in a process that may die.

    Args:
        path: as in `decode`.
        longest: side in pixels, at most; a smaller picture keeps its size.
        reading: as in `decode_guarded`.

    Raises:
        ImageRefused: the file cannot be read, for whatever reason.
        ConfigError: the window is none.
        ImageclefError: no process can be started.
    """
    return _only(path, {"longest": longest}, reading)


def _only(path: Path, form: Form, reading: ReadingSettings) -> Decoded:
    (answer,) = decoders.decode([path], form, reading)
    if isinstance(answer, ImageRefused):
        raise answer
    return answer
