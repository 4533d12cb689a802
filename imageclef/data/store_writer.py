"""The pixels of a store while it is made, and a log of what became of each file.

Pixels are appended to the array. Every few seconds they are brought to the disk, and only then the log says
so: after a kill, or a loss of power, the log tells which files need not be decoded again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import astuple
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from imageclef.data.collection import ImageFile, Refusal
from imageclef.images.bulk import Chunk, Original

LOG = ".decoded.jsonl"
"""A line that says of which files, then one for each chunk: its originals and its refusals."""

_INTERVAL = 5.0
"""Seconds: what a kill can cost."""


class StoreWriter:
    """Appends chunks to an array of pixels, after what an earlier writer left.

    Attributes:
        done: files that are dealt with, from the first of the collection on.
        n_read: rows that they gave.
    """

    def __init__(self, pixels: Path, shape: tuple[int, int, int], images: Sequence[ImageFile]) -> None:
        """Begin, or go on.

        Args:
            pixels: the array's file; the log stands beside it.
            shape: of a row.
            images: whose chunks will come; what was done of others is not gone on from.
        """
        self._path, self._shape = pixels.with_name(LOG), shape
        names = json.dumps([(image.image_id, image.path) for image in images]).encode("ascii")
        self._first = json.dumps({"images": sha256(names).hexdigest()}).encode("ascii") + b"\n"
        self.done = self.n_read = 0
        self._pixels, self._log = _opened(pixels), _opened(self._path)
        self._write_header()
        self._row = int(np.prod(shape))
        self._go_on(self._pixels.tell())
        self._waiting: list[bytes] = []
        if not self._log.tell():
            self._log.write(self._first)
        self._kept_at = time.monotonic()

    def add(self, chunk: Chunk) -> None:
        """Append a chunk; now and then, keep what there is."""
        self._pixels.write(chunk.pixels.data)
        self._waiting.append(_line(chunk))
        self.done += len(chunk.originals) + len(chunk.refused)
        self.n_read += len(chunk.originals)
        if time.monotonic() - self._kept_at > _INTERVAL:
            self.keep()

    def keep(self) -> None:
        """Bring the pixels to the disk, then say so in the log."""
        _to_disk(self._pixels)
        self._log.writelines(self._waiting)
        _to_disk(self._log)
        self._waiting, self._kept_at = [], time.monotonic()

    def finish(self) -> None:
        """Write the number of rows, known only now, into the header, which numpy pads so that it fits."""
        self.keep()
        self._pixels.seek(0)
        self._write_header()
        self._pixels.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close both files; where the work was stopped in the middle, what there is of it is kept."""
        with closing(self._pixels), closing(self._log), suppress(OSError):
            self.keep()

    def originals(self) -> Iterator[Original]:
        """Of the rows, in order; to be asked when it has been finished."""
        return (tuple(original) for line in self._lines() for original in line["originals"])

    def refused(self) -> Iterator[Refusal]:
        """The files that gave none."""
        return (Refusal(*refusal) for line in self._lines() for refusal in line["refused"])

    def _write_header(self) -> None:
        about = {"descr": "|u1", "fortran_order": False, "shape": (self.n_read, *self._shape)}
        np.lib.format.write_array_header_1_0(self._pixels, about)

    def _go_on(self, header: int) -> None:
        """Take what is whole, and cut off the rest."""
        size = os.fstat(self._pixels.fileno()).st_size
        ours = self._log.readline() == self._first
        end = len(self._first) if ours else 0
        for line in self._log if ours else ():
            try:
                chunk = json.loads(line) if line.endswith(b"\n") else {}
                n_read, n_refused = len(chunk["originals"]), len(chunk["refused"])
            except (ValueError, KeyError, TypeError):
                break
            if header + (self.n_read + n_read) * self._row > size:
                break
            self.done += n_read + n_refused
            self.n_read += n_read
            end += len(line)
        for file, length in ((self._log, end), (self._pixels, header + self.n_read * self._row)):
            file.truncate(length)
            file.seek(length)

    def _lines(self) -> Iterator[dict[str, list[Any]]]:
        with self._path.open("rb") as log:
            yield from map(json.loads, islice(log, 1, None))


def _opened(path: Path) -> BinaryIO:
    """A file to read and write; made where there is none."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")


def _line(chunk: Chunk) -> bytes:
    refused = [astuple(one) for one in chunk.refused]
    return json.dumps({"originals": chunk.originals, "refused": refused}).encode("ascii") + b"\n"


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
