"""The pictures of indexed images, by id: re-encoded, so that nothing but pixels leaves the server.

Files of a collection may carry names and dates of patients beside their pixels (EXIF, DICOM); what is served
is encoded anew and has none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from PIL import Image

from imageclef.config import ReadingSettings
from imageclef.errors import DataError, ImageRefused
from imageclef.images.dicom.recognition import file_and_frame
from imageclef.images.pool import AS_IT_IS, decode_fitting_guarded

SIDES = (64, 128, 256, 512)
"""Longest sides of thumbnails in pixels."""
_EVERY_PIXEL = 2**16
"""A longest side that no picture which is decoded at all goes beyond."""
_QUALITY = 85
_KEPT = 1024
"""Thumbnails in memory, 20 kB each."""


class Gallery:
    """The files of indexed images, and what is shown of them."""

    def __init__(self, paths: Mapping[str, Path], reading: ReadingSettings = AS_IT_IS) -> None:
        """Take the file of each image, and how files are read."""
        self._paths, self._reading = paths, reading
        # Over a function that knows the paths alone: a method would keep the gallery alive through its cache.
        self._thumbnail = lru_cache(_KEPT)(partial(_thumbnail, paths, reading))

    def tag(self, image_id: str) -> str:
        """Changes with the file of an image.

        Raises:
            DataError: there is no such file any more.
        """
        path = self._paths.get(image_id)
        try:
            if path is None:
                raise FileNotFoundError
            status = file_and_frame(path)[0].stat()
        except OSError:
            raise _gone(image_id) from None
        about = f"{image_id}\0{status.st_ino}\0{status.st_size}\0{status.st_mtime_ns}\0{self._reading.window}"
        return sha256(about.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def thumbnail(self, image_id: str, side: int) -> bytes:
        """A JPEG of an image in its own proportions, at most `side` pixels long.

        Raises:
            DataError: its file cannot be read any more.
        """
        return self._thumbnail(image_id, side, self.tag(image_id))

    def original(self, image_id: str) -> bytes:
        """A PNG of all pixels of an image, upright, in 8 bits.

        Raises:
            DataError: its file cannot be read any more.
        """
        written = BytesIO()
        picture = _fitting(self._paths, self._reading, image_id, _EVERY_PIXEL)
        picture.save(written, "PNG", compress_level=1)
        return written.getvalue()


def _thumbnail(
    paths: Mapping[str, Path], reading: ReadingSettings, image_id: str, side: int, tag: str
) -> bytes:
    """As `Gallery.thumbnail`; the tag tells a file that has changed from what it was."""
    written = BytesIO()
    _fitting(paths, reading, image_id, side).save(written, "JPEG", quality=_QUALITY)
    return written.getvalue()


def _fitting(paths: Mapping[str, Path], reading: ReadingSettings, image_id: str, longest: int) -> Image.Image:
    try:
        pixels = decode_fitting_guarded(paths[image_id], longest, reading).pixels
    except (ImageRefused, KeyError):
        raise _gone(image_id) from None
    grey = bool((pixels == pixels[..., :1]).all())
    return Image.fromarray(pixels[..., 0] if grey else pixels)


def _gone(image_id: str) -> DataError:
    return DataError(f"the file of image '{image_id}' cannot be read any more")
