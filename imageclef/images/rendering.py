"""A preview of any image file that can be read, for pages and other places that show JPEG and PNG only."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from imageclef.config import ReadingSettings
from imageclef.images.pool import AS_IT_IS, decode_fitting_guarded

MAX_SIDE = 1024
"""Longest side of a preview in pixels, unless a smaller one is wanted."""

_QUALITY = 90


def jpeg_preview(path: Path, longest: int = MAX_SIDE, reading: ReadingSettings = AS_IT_IS) -> bytes:
    """Make a JPEG of an image file, such as a DICOM object or a 16-bit TIFF.

    The file is decoded in a process that may die, within the limits of `reading`. The preview has the pixels
    that a search sees, with windows and orientation applied, and nothing of the file's metadata.

    Args:
        path: the file; with ``#3`` after it, the third frame of a DICOM file.
        longest: side in pixels, at most; a smaller image keeps its size.
        reading: how it is read, and what that may take; ``config.ingest`` is one.

    Returns:
        The bytes of a JPEG, grey where the image is.

    Raises:
        ImageRefused: the file cannot be read, for whatever reason.
        ConfigError: the window is none.
        ImageclefError: no process can be started.
    """
    pixels = decode_fitting_guarded(path, min(longest, MAX_SIDE), reading).pixels
    grey = np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2])
    file = BytesIO()
    Image.fromarray(pixels[..., 0] if grey else pixels).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
