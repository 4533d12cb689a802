"""Frames of a DICOM file: which are taken, what they are called, and how they look.

A file of one frame is called by its id, a frame of several by its number, from 1: ``ID#3``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from imageclef.data.decoding import MAX_PIXELS
from imageclef.data.dicom.choice import FIRST, FrameChoice
from imageclef.data.dicom.encoded import decoded_frames
from imageclef.data.dicom.header import Opened, opened
from imageclef.data.dicom.identity import group_of, image_id_of, metadata_of
from imageclef.data.dicom.pixels import picture, squared
from imageclef.data.dicom.stored import Stored, stored_pixels
from imageclef.data.dicom.windows import WindowChoice
from imageclef.errors import DataError, ImageRefused

_LARGE = 0.25
"""Frames above this part of the most pixels are decoded one at a time, whatever the number of threads: what
they take does not grow with it."""
_one_large = Lock()


@dataclass(frozen=True)
class Frame:
    """A picture out of a DICOM file.

    Attributes:
        frame_name: its image id.
        pixels: uint8, grey (h, w) or RGB (h, w, 3), with square pixels.
        applied: how the stored values became these, in words.
        about: the kept elements of the header, by column.
    """

    frame_name: str
    pixels: NDArray[np.uint8]
    applied: str
    about: Mapping[str, str]


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
        pixels = stored_pixels(header)
        image_id = image_id_of(header.dataset, path)
        numbers = {
            _name(image_id, index, pixels.frames): index + 1 for index in frames.indices(pixels.frames)
        }
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
    with _guarded(), opened(path, headerless) as header:
        pixels = stored_pixels(header)
        yield from _pictures(path, header, pixels, frames.indices(pixels.frames), window)


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
    with _guarded(), opened(path, headerless) as header:
        pixels = stored_pixels(header)
        if not 1 <= number <= pixels.frames:
            raise ImageRefused(f"frame {number} of {pixels.frames}")
        return next(_pictures(path, header, pixels, range(number - 1, number), window))


def _pictures(
    path: Path, header: Opened, pixels: Stored, indices: range, window: WindowChoice | None
) -> Iterator[Frame]:
    image_id, about = image_id_of(header.dataset, path), metadata_of(header.dataset)
    decoded = decoded_frames(header, pixels, indices)
    large = pixels.rows * pixels.columns > _LARGE * MAX_PIXELS
    for index in indices:
        with _one_large if large else nullcontext():
            frame, photometric = next(decoded)
            levels, applied = picture(frame, photometric, header.dataset, pixels, index, window)
            levels, stretched = squared(levels, header.dataset, index)
            del frame
        parts = [applied, stretched, f"frame {index + 1} of {pixels.frames}" if pixels.frames > 1 else ""]
        name = _name(image_id, index, pixels.frames)
        yield Frame(name, levels, "; ".join(part for part in parts if part), about)


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
        raise ImageRefused(error.strerror or "cannot be read") from None
    except Exception as error:
        raise ImageRefused(f"damaged DICOM file ({type(error).__name__})") from None
