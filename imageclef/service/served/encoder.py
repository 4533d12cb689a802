"""From the bytes that a visitor sends to the features that the index is asked with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import DataError, ImageRefused
from imageclef.features.encoding import Encoding, Row
from imageclef.images.decode import Mode
from imageclef.images.pool import decode_guarded
from imageclef.workspace import Workspace


@dataclass(frozen=True)
class Encoded:
    """An upload.

    Attributes:
        row: its features.
        pixels: as its learners saw it, (size, size, channels), by size and mode.
    """

    row: Row
    pixels: Mapping[tuple[int, Mode], NDArray[np.uint8]]

    def at(self, size: int, mode: Mode) -> NDArray[np.uint8]:
        """Its pixels at a learner's size."""
        return self.pixels[size, mode]


class Encoder:
    """The learners of a workspace, ready for images one at a time, from any thread.

    Attributes:
        made_with: names the features, with the digests of the learners.
        encoding: how images become features.
        reading: how files are read.
    """

    def __init__(self, workspace: Workspace) -> None:
        """Load the learners.

        Raises:
            MissingArtifact: one is not there.
            ConfigError: a feature set is not of a learner.
        """
        config = workspace.config
        self.made_with = workspace.made_with
        self.encoding = Encoding(
            workspace.learners(),
            config.weights,
            config.extract.output,
            workspace.precision,
            workspace.device,
        )
        self.reading = config.ingest

    def encode(self, upload: BinaryIO) -> Encoded:
        """Read an upload.

        Raises:
            DataError: it cannot be read; the message is a sentence for the visitor.
        """
        seen: dict[tuple[int, Mode], NDArray[np.uint8]] = {}
        with on_disk(upload) as path:

            def decode_at(size: int, mode: Mode) -> NDArray[np.uint8]:
                if (size, mode) not in seen:
                    seen[size, mode] = self._decoded(path, size, mode)
                return seen[size, mode]

            row = self.encoding(decode_at)
        if not np.isfinite(row.side_by_side).all():
            raise DataError("the features of this image are not finite numbers; expected another image")
        return Encoded(row, seen)

    def _decoded(self, path: Path, size: int, mode: Mode) -> NDArray[np.uint8]:
        with sentences(path):
            return decode_guarded(path, size, mode, self.reading).pixels


@contextmanager
def on_disk(upload: BinaryIO) -> Iterator[Path]:
    """An upload in a file of its own, gone afterwards: nothing that a client names is ever opened."""
    with NamedTemporaryFile(prefix="imageclef-") as file:
        shutil.copyfileobj(upload, file)
        file.flush()
        yield Path(file.name)


@contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Turn the refusal of an upload into a sentence that does not name our file.

    Raises:
        DataError: the file is empty or cannot be read.
    """
    if not path.stat().st_size:
        raise DataError("the file is empty; expected an image")
    try:
        yield
    except ImageRefused as refusal:
        reason = str(refusal).replace(str(path), "the file")
        raise DataError(f"the file cannot be read: {reason}; expected an image") from None
