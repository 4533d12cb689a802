"""What the page shows of an upload that a browser cannot draw itself: DICOM, TIFF, 16 bits."""

from __future__ import annotations

from typing import BinaryIO

from imageclef.config import ReadingSettings
from imageclef.features.encoding import on_disk, sentences
from imageclef.images.rendering import jpeg_preview

_SIDE = 512


def preview(upload: BinaryIO, reading: ReadingSettings) -> bytes:
    """A JPEG of an upload, upright, at most 512 pixels long, without metadata.

    Args:
        upload: any file that `ingest` reads.
        reading: how files are read.

    Raises:
        DataError: it cannot be read; the message is a sentence for the visitor.
    """
    with on_disk(upload) as path, sentences(path):
        return jpeg_preview(path, _SIDE, reading)
