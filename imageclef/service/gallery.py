"""The pictures of indexed images, by id: re-encoded, so that nothing but pixels leaves the server.

Files of a collection may carry names and dates of patients beside their pixels (EXIF, DICOM); what is served
is encoded anew and has none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from imageclef.data.decoding import MAX_PIXELS, decode
from imageclef.data.eight_bits import in_eight_bits
from imageclef.errors import DataError, ImageRefused

SIDES = (64, 128, 256, 512)
"""Longest sides of thumbnails in pixels."""
_EXACT = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")
_QUALITY = 85
_KEPT = 1024
"""Thumbnails in memory, 20 kB each."""


class Gallery:
    """The files of indexed images, and what is shown of them."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        """Take the file of each image."""
        self._paths = paths
        self._thumbnail = lru_cache(_KEPT)(self._drawn)

    def thumbnail(self, image_id: str, side: int) -> bytes:
        """A JPEG of an image in its own proportions, at most `side` pixels long.

        Raises:
            DataError: its file cannot be read any more.
        """
        return self._thumbnail(image_id, side)

    def original(self, image_id: str) -> bytes:
        """A PNG of all pixels of an image, upright, in 8 bits.

        Raises:
            DataError: its file cannot be read any more.
        """
        written = BytesIO()
        try:
            picture = _whole(self._paths[image_id])
        except Exception:  # Pillow lets through whatever its plugins meet
            raise DataError(f"the file of image '{image_id}' cannot be read any more") from None
        picture.save(written, "PNG", compress_level=1)
        return written.getvalue()

    def _drawn(self, image_id: str, side: int) -> bytes:
        try:
            decoded = decode(self._paths[image_id], side, "rgb")
        except (ImageRefused, KeyError):
            raise DataError(f"the file of image '{image_id}' cannot be read any more") from None
        written = BytesIO()
        picture = _in_proportion(decoded.pixels, decoded.width, decoded.height, side)
        picture.save(written, "JPEG", quality=_QUALITY)
        return written.getvalue()


def _in_proportion(pixels: NDArray[np.uint8], width: int, height: int, side: int) -> Image.Image:
    """The decoder stretches to a square: undo it."""
    scale = side / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(pixels).resize(size, Image.Resampling.BOX)


def _whole(path: Path) -> Image.Image:
    """Every pixel of a file that ingest could read; what Pillow does not know comes by the decoder."""
    # From memory, never by its path: Pillow maps files; one that is cut short meanwhile kills the process.
    data = BytesIO(path.read_bytes())
    try:
        image = Image.open(data, formats=_EXACT)
    except UnidentifiedImageError:
        decoded = decode(path, SIDES[-1], "rgb")
        side = min(max(decoded.width, decoded.height), int(MAX_PIXELS**0.5))
        return _in_proportion(decode(path, side, "rgb").pixels, decoded.width, decoded.height, side)
    if image.width * image.height > MAX_PIXELS:
        raise ImageRefused("more pixels than are decoded")
    image.load()
    return in_eight_bits(ImageOps.exif_transpose(image))
