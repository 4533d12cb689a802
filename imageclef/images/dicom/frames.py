"""Frames of a DICOM file: which are taken, what they are called, and how they look.

A file of one frame is called by its id, a frame of several by its number, from 1: ``ID#3``. What was read
of a file's header is kept until another file is asked for: frames are asked for one by one, and the header of
five hundred takes longer than any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from imageclef.errors import DataError, ImageRefused
from imageclef.images.dicom.choice import FIRST, FrameChoice
from imageclef.images.dicom.encoded import Encoded, decoded_frame, find_frames
from imageclef.images.dicom.header import Opened, opened
from imageclef.images.dicom.identity import group_of, image_id_of, metadata_of
from imageclef.images.dicom.pixels import picture, squared
from imageclef.images.dicom.stored import stored_pixels
from imageclef.images.dicom.windows import WindowChoice
from imageclef.images.refusals import MAX_PIXELS
from imageclef.images.turns import one_at_a_time

_LARGE = 0.25
"""Frames above this part of the most pixels are decoded one at a time."""

MOST_FRAMES = 2**18
"""Of a file. Its header alone says how many there are, and each that is taken has a name in memory."""


@dataclass(frozen=True)
class Frame:
    """A picture out of a DICOM file.

    Attributes:
        frame_name: its image id.
        pixels: uint8, grey (h, w) or RGB (h, w, 3), with square pixels.
        applied: how the stored values became these, in words.
    """

    frame_name: str
    pixels: NDArray[np.uint8]
    applied: str


@dataclass(frozen=True)
class Described:
    """What a DICOM file holds, found without decoding it.

    Attributes:
        image_id: of the file.
        frames: the number, from 1, of each frame that is taken, by its image id.
        group: pseudonym of the patient; empty without a salt.
        about: the kept elements of the header, by column.
    """

    image_id: str
    frames: Mapping[str, int]
    group: str
    about: Mapping[str, str]


def describe(
    path: Path, frames: FrameChoice = FIRST, salt: bytes | None = None, headerless: bool = False
) -> Described:
    """Say what a file holds.

    Args:
        path: the file.
        frames: which are taken.
        salt: a secret for the hash of the patient's id.
        headerless: take a bare data set too.

    Raises:
        NoPixels: it is DICOM but no picture.
        ImageRefused: it cannot be read.
        DataError: the salt is too short.
    """
    with _guarded(), opened(path, headerless) as header:
        count = stored_pixels(header).frames
        taken = frames.indices(count)
        if len(taken) > MOST_FRAMES:
            raise ImageRefused("too large", f"{len(taken)} frames; at most {MOST_FRAMES} are taken")
        image_id = image_id_of(header.dataset, path)
        numbers = {_name(image_id, index, count): index + 1 for index in taken}
        group = group_of(header.dataset, salt, image_id) if salt is not None else ""
        return Described(image_id, numbers, group, metadata_of(header.dataset))


def read_frames(
    path: Path,
    window: WindowChoice | None = None,
    frames: FrameChoice = FIRST,
    headerless: bool = False,
) -> Iterator[Frame]:
    """Read the frames of a file, one after the other.

    Args:
        path: the file.
        window: in place of the file's own, for grey pictures.
        frames: which are taken.
        headerless: take a bare data set too.

    Raises:
        NoPixels: it is DICOM but no picture.
        ImageRefused: it cannot be read, for whatever reason; nothing else is raised.
    """
    with _guarded(), _looked_into(path, headerless) as (found, file):
        for index in frames.indices(found.encoded.pixels.frames):
            yield _frame(found, file, index, window)


def read_frame(
    path: Path, number: int = 1, window: WindowChoice | None = None, headerless: bool = False
) -> Frame:
    """Read one frame.

    Args:
        path: the file.
        number: of the frame, from 1.
        window: in place of the file's own, for grey pictures.
        headerless: take a bare data set too.

    Raises:
        NoPixels: it is DICOM but no picture.
        ImageRefused: it cannot be read, for whatever reason; nothing else is raised.
    """
    with _guarded(), _looked_into(path, headerless) as (found, file):
        count = found.encoded.pixels.frames
        if not 1 <= number <= count:
            raise ImageRefused("damaged", f"frame {number} of {count}")
        return _frame(found, file, number - 1, window)


@dataclass(frozen=True)
class _Found:
    """What every frame of a file needs: its pixels themselves stay in the file."""

    dataset: Dataset
    encoded: Encoded
    image_id: str


class _Last(local):
    """The file that a thread has read last: path, identity on disk, and what was found."""

    identity: tuple[object, ...] = ()
    found: _Found


_last = _Last()


@contextmanager
def _looked_into(path: Path, headerless: bool) -> Iterator[tuple[_Found, BinaryIO]]:
    """A file and what is in it, read now or when the frame before was."""
    status = path.stat()
    identity = (path, headerless, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if identity == _last.identity:
        with path.open("rb") as file:
            yield _last.found, file
        return
    _last.identity = ()
    with opened(path, headerless) as header:
        found = _read(path, header)
        if not header.inflated:  # that is in memory, up to `MAX_INFLATED` of it
            _last.found, _last.identity = found, identity
        yield found, header.file


def _read(path: Path, header: Opened) -> _Found:
    encoded = find_frames(header, stored_pixels(header))
    return _Found(header.dataset, encoded, image_id_of(header.dataset, path))


def _frame(found: _Found, file: BinaryIO, index: int, window: WindowChoice | None) -> Frame:
    dataset, pixels = found.dataset, found.encoded.pixels
    large = pixels.rows * pixels.columns > _LARGE * MAX_PIXELS
    with one_at_a_time() if large else nullcontext():
        stored = decoded_frame(file, found.encoded, index)
        levels, applied = picture(stored.values, stored.photometric, dataset, pixels, index, window)
        levels, stretched = squared(levels, dataset, index)
    parts = [
        stored.note,
        applied,
        stretched,
        f"frame {index + 1} of {pixels.frames}" if pixels.frames > 1 else "",
    ]
    name = _name(found.image_id, index, pixels.frames)
    return Frame(name, levels, "; ".join(part for part in parts if part))


def _name(image_id: str, index: int, count: int) -> str:
    return image_id if count == 1 else f"{image_id}#{index + 1}"


@contextmanager
def _guarded() -> Iterator[None]:
    """Whatever pydicom meets in a damaged file becomes a refusal, which quotes nothing of the header."""
    try:
        yield
    except (ImageRefused, DataError):
        raise
    except OSError as error:
        raise ImageRefused("unreadable", error.strerror or type(error).__name__) from None
    except MemoryError:
        raise ImageRefused("too large", "more memory than there is") from None
    except Exception as error:
        raise ImageRefused("damaged", f"DICOM file ({type(error).__name__})") from None
