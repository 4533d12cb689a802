"""Encode: the features of image files that are in no store, as the configured feature sets have them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imageclef.config import ReadingSettings
from imageclef.errors import DataError, ImageRefused
from imageclef.features.encoding import Encoding
from imageclef.images.decode import Mode
from imageclef.images.pool import decode_guarded
from imageclef.workspace import Workspace


def encode(workspace: Workspace, images: Sequence[Path]) -> NDArray[np.float32]:
    """Features (n_images, n_features); of several sets beside each other, each at the length of its weight.

    Raises:
        DataError: an image cannot be read.
        ConfigError: a set is not of a learner that is here.
    """
    config = workspace.config
    encoding = Encoding(
        workspace.learners(), config.weights, config.extract.output, workspace.precision, workspace.device
    )
    rows = [encoding(partial(pixels_of, image, reading=config.ingest)).compared for image in images]
    return np.concatenate(rows)


def pixels_of(image: Path, size: int, mode: Mode, reading: ReadingSettings) -> NDArray[np.uint8]:
    """Pixels (size, size, channels) of an image that is asked about.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return decode_guarded(image, size, mode, reading).pixels
    except ImageRefused as refusal:
        raise DataError(f"{image}: {refusal}; expected an image file") from None
