"""Encode images that are in no store: a file or an upload becomes a row of the configured feature sets.

With several learners, their rows stand side by side, each at the length of its weight, as
`imageclef.features.columns` joins feature sets for an index.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from imageclef.config import ReadingSettings
from imageclef.data.collection import ImageFile, Refusal
from imageclef.errors import DataError, ImageRefused
from imageclef.features.columns import brought_to
from imageclef.features.extract import features_of
from imageclef.images.bulk import cores, decode_all
from imageclef.images.decode import Mode
from imageclef.images.digests import Digests
from imageclef.images.pool import AS_IT_IS, decode_guarded
from imageclef.learners.base import Learner
from imageclef.progress import Advance


@dataclass(frozen=True)
class Encoded:
    """An image and its features.

    Attributes:
        side_by_side: the features as a detector takes them, (1, n_features).
        compared: as an index does, (1, n_features); the same for a single learner.
        pixels: as its learners saw it, (size, size, channels), by size and mode.
        digest: of the bytes of the file.
    """

    side_by_side: NDArray[np.float32]
    compared: NDArray[np.float32]
    pixels: Mapping[tuple[int, Mode], NDArray[np.uint8]]
    digest: str = ""

    def at(self, size: int, mode: Mode) -> NDArray[np.uint8]:
        """Return its pixels at a learner's size."""
        return self.pixels[size, mode]


@dataclass(frozen=True)
class Encoder:
    """Encodes images with the learners of the configured feature sets; safe to use from several threads.

    Attributes:
        learners: on their device, in the order of the feature sets.
        weights: of the sets where rows are compared; empty for 1 each.
        output: of the learners.
        precision: of their arithmetic.
        device: that they are on.
        reading: how files are read.
    """

    learners: Sequence[Learner]
    weights: Sequence[float] = ()
    output: Literal["codes", "pooled"] = "codes"
    precision: Literal["fp32", "bf16"] = "fp32"
    device: torch.device = torch.device("cpu")
    reading: ReadingSettings = AS_IT_IS

    def encode(self, path: Path) -> Encoded:
        """Encode an image file.

        Raises:
            DataError: it cannot be read.
        """
        return self._encode(path, str(path))

    def encode_upload(self, upload: BinaryIO) -> Encoded:
        """Encode an upload; nothing that a client names is ever opened.

        Raises:
            DataError: it cannot be read; the message is a sentence for the visitor.
        """
        with on_disk(upload) as path:
            return self._encode(path, "the file")

    def encode_all(
        self, folder: Path, images: Sequence[ImageFile], workers: int | None, advance: Advance
    ) -> tuple[list[str], NDArray[np.float32], list[Refusal]]:
        """Encode many files with several decoding processes.

        Args:
            folder: that the paths are relative to.
            images: as many as memory holds features of.
            workers: decoding processes, by default one for each core.
            advance: told how many are done.

        Returns:
            The ids of the images that can be read, their rows as compared, and why the others cannot be.
        """
        found: list[dict[str, NDArray[np.float32]]] = []
        refused: dict[str, Refusal] = {}
        for place, learner in enumerate(self.learners):
            rows: dict[str, NDArray[np.float32]] = {}
            size, workers = learner.settings.image_size, workers or cores()
            wanted = [image for image in images if image.image_id not in refused]
            with closing(decode_all(folder, wanted, size, learner.mode, workers, self.reading)) as chunks:
                for chunk in chunks:
                    refused |= {one.image_id: one for one in chunk.refused}
                    if chunk.originals:
                        block = self._block(learner, chunk.pixels)
                        rows |= zip((original[0] for original in chunk.originals), block, strict=True)
                    if not place:
                        advance(len(chunk.originals) + len(chunk.refused))
            found.append(rows)
        ids = [image.image_id for image in images if image.image_id not in refused]
        if not ids:
            return [], np.empty((0, 0), np.float32), list(refused.values())
        blocks = [np.stack([rows[image_id] for image_id in ids]) for rows in found]
        return ids, self._compared(blocks), list(refused.values())

    def _encode(self, path: Path, name: str) -> Encoded:
        pixels: dict[tuple[int, Mode], NDArray[np.uint8]] = {}
        with sentences(path, name):
            for learner in self.learners:
                form = learner.settings.image_size, learner.mode
                if form not in pixels:
                    pixels[form] = decode_guarded(path, *form, self.reading).pixels
        blocks = [
            self._block(learner, pixels[learner.settings.image_size, learner.mode][None])
            for learner in self.learners
        ]
        beside = np.hstack(blocks)
        if not np.isfinite(beside).all():
            raise DataError(f"{name}: its features are not finite numbers; expected another image")
        return Encoded(beside, self._compared(blocks), pixels, Digests().of(path))

    def _block(self, learner: Learner, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).expand(-1, 3, -1, -1).to(self.device)
        return features_of(learner, batch, self.output, self.precision).cpu().numpy()

    def _compared(self, blocks: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        if len(blocks) == 1:
            return blocks[0]
        lengths = [weight**0.5 for weight in self.weights or (1.0,) * len(blocks)]
        return np.hstack([brought_to(*pair) for pair in zip(lengths, blocks, strict=True)])


@contextmanager
def on_disk(upload: BinaryIO) -> Iterator[Path]:
    """Yield the path of an upload in a file of its own, which is deleted afterwards."""
    with NamedTemporaryFile(prefix="imageclef-") as file:
        shutil.copyfileobj(upload, file)
        file.flush()
        yield Path(file.name)


@contextmanager
def sentences(path: Path, name: str = "the file") -> Iterator[None]:
    """Turn the refusal of a file into a sentence that calls it by a name.

    Raises:
        DataError: the file is missing, empty, or cannot be read.
    """
    try:
        # A path may name a frame of its file.
        if path.is_file() and not path.stat().st_size:
            raise DataError(f"{name} is empty; expected an image")
        yield
    except ImageRefused as refusal:
        reason = str(refusal).replace(str(path), name)
        raise DataError(f"{name} cannot be read: {reason}; expected an image") from None


def as_image(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Decoded pixels (h, w, channels) as learners take them, (3, h, w)."""
    return torch.from_numpy(pixels).permute(2, 0, 1).expand(3, -1, -1)
