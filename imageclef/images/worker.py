"""The process that decodes: it reads requests on its standard input and answers on its standard output.

A request is a line of JSON: paths, and how they are wanted. Its answer is a line of JSON, for each path a
refusal or what is known of the picture, and then the bytes of all pictures. Before a file is opened, its
place among the paths is written down where whoever asked can read it: so it is known at which file this
process ended.

What a file may take is left to the kernel, which also ends a decoder that never comes back: processor time,
time at all, and memory. The process ends with its input, at the latest after the file it is at.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import cv2
from PIL import Image, ImageFile

from imageclef.errors import ImageRefused
from imageclef.images.decode import Decoded, decode, decode_fitting
from imageclef.images.digests import Digests
from imageclef.images.refusals import refusal_of
from imageclef.images.turns import take_turns

UP_TO_THE_BREAK = "truncated: read up to the break"
PLACE_BYTES = 8
_MIB = 2**20


class FileClock:
    """Ends the process where a file takes too long; in processor time, a loaded machine refuses no file."""

    def __init__(self) -> None:
        self.seconds, self.patience = 0.0, 0.0
        for ends in (signal.SIGPROF, signal.SIGALRM):
            signal.signal(ends, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGPROF, signal.SIGALRM))

    def start(self) -> None:
        """Begin to count, from nothing."""
        signal.setitimer(signal.ITIMER_PROF, self.seconds)
        signal.setitimer(signal.ITIMER_REAL, self.patience)

    def stop(self) -> None:
        """Count no more."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


class MemoryLimit:
    """Lets this process take so much more than it has now; where that is not known, there is no limit."""

    def __init__(self) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self._mib = 0
        try:
            mapped = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
        except OSError:
            self._bytes = None
        else:
            self._bytes = int(mapped) * resource.getpagesize()

    def set(self, mib: int) -> None:
        """Leave so many MiB for files."""
        if self._bytes is None or mib == self._mib:
            return
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = self._bytes + mib * _MIB
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))
        self._mib = mib


def main(turns: int, place: int) -> None:
    """Answer requests until there are no more.

    Args:
        turns: descriptor of the file by which processes take turns at large pictures.
        place: of the one in which the place of the file at hand is written down.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked decides when it ends, by closing the input
    cv2.setNumThreads(1)
    Image.init()  # loads all of Pillow's formats, which is not to be taken for the first file's time
    requests, answers = sys.stdin.buffer, _own_output()
    clock, memory, digests = FileClock(), MemoryLimit(), Digests()
    take_turns(turns, clock)
    try:
        _write(answers, [{"ready": os.getpid()}])
        for line in requests:
            request = json.loads(line)
            clock.seconds, clock.patience = request["seconds"], request["patience"]
            memory.set(request["memory"])
            found = []
            for number, path in enumerate(request["paths"]):
                os.pwrite(place, number.to_bytes(PLACE_BYTES), 0)
                found.append(_answer(clock, digests, Path(path), request))
            pixels = [one.pixels.data for one in found if isinstance(one, Decoded)]
            _write(answers, list(map(_about, found)), pixels)
    except BrokenPipeError:  # nobody waits for the answer any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), answers.fileno())


def _own_output() -> BinaryIO:
    """The output for answers alone; where it was, and to the error output, native decoders write warnings."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=_MIB)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (sys.stdout, sys.stderr):
        os.dup2(nowhere, output.fileno())
    os.close(nowhere)
    return answers


def _answer(
    clock: FileClock, digests: Digests, path: Path, request: dict[str, Any]
) -> Decoded | ImageRefused:
    clock.start()
    try:
        return replace(_decode(path, request), digest=digests.of(path))
    except Exception as error:
        refusal = refusal_of(error)
        refusal.digest = digests.of(path)
        return refusal
    finally:
        clock.stop()


def _decode(path: Path, request: dict[str, Any]) -> Decoded:
    """Read a file; one that is truncated once more, up to the break, where that is accepted."""
    try:
        return _as_wanted(path, request)
    except ImageRefused as refusal:
        if refusal.kind != "truncated" or not request["accept_truncated"]:
            raise
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        decoded = _as_wanted(path, request)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    applied = "; ".join(part for part in (decoded.applied, UP_TO_THE_BREAK) if part)
    return Decoded(decoded.pixels, decoded.width, decoded.height, applied)


def _as_wanted(path: Path, request: dict[str, Any]) -> Decoded:
    form, window = request["form"], request["window"]
    return (decode_fitting if "longest" in form else decode)(path, **form, window=window)


def _about(answer: Decoded | ImageRefused) -> dict[str, Any]:
    if isinstance(answer, ImageRefused):
        return {"kind": answer.kind, "detail": answer.detail, "digest": answer.digest}
    about = {"width": answer.width, "height": answer.height, "applied": answer.applied}
    about["digest"] = answer.digest
    return {"shape": answer.pixels.shape, **about}


def _write(answers: BinaryIO, about: list[dict[str, Any]], pixels: Sequence[memoryview] = ()) -> None:
    answers.write(json.dumps(about).encode() + b"\n")
    answers.writelines(pixels)
    answers.flush()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
