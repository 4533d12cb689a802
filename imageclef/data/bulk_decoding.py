"""Many image files at once: decoded by threads, handed on in order.

Threads, not processes: the decoders release the interpreter lock, and nothing has to be copied between
processes or started twice.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imageclef.data.collection import ImageFile, Refusal
from imageclef.data.decoding import CHANNELS, Mode, decode
from imageclef.errors import ImageRefused

Original = tuple[str, str, int, int, str]
"""Id, path, width and height of an image that was read, and what was applied to its values."""

_CHUNK_IMAGES, _CHUNK_BYTES = 32, 2**20
_LOOK_AHEAD = 4
"""Chunks in flight for each worker: so far the others get while a slow picture holds one up."""


@dataclass(frozen=True)
class Chunk:
    """Some images in order.

    Attributes:
        pixels: uint8 (n_read, size, size, channels), contiguous.
        originals: where each row is from.
        refused: those that could not be read.
    """

    pixels: NDArray[np.uint8]
    originals: list[Original]
    refused: list[Refusal]


def decode_all(
    folder: Path, images: Sequence[ImageFile], size: int, mode: Mode, workers: int, window: str = ""
) -> Generator[Chunk, None, None]:
    """Decode a collection, `workers` files at a time, a bounded way ahead of the reader.

    Args:
        folder: of the collection.
        images: with paths relative to it; chunks keep their order.
        size: side of the squares in pixels.
        mode: channels.
        workers: threads.
        window: of grey DICOM pictures, as in `decode`.
    """
    step = max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // (size * size * CHANNELS[mode])))
    threads = ThreadPoolExecutor(workers)
    ahead: deque[Future[Chunk]] = deque()
    try:
        for start in range(0, len(images), step):
            ahead.append(
                threads.submit(_decode_some, folder, images[start : start + step], size, mode, window)
            )
            if len(ahead) == workers * _LOOK_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def cores() -> int:
    """The cores this process may use, which in a container need not be all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decode_some(folder: Path, images: Sequence[ImageFile], size: int, mode: Mode, window: str) -> Chunk:
    chunk = Chunk(np.empty((len(images), size, size, CHANNELS[mode]), np.uint8), [], [])
    for image in images:
        try:
            decoded = decode(folder / image.path, size, mode, window)
        except ImageRefused as refusal:
            chunk.refused.append(Refusal(image.image_id, image.path, str(refusal)))
            continue
        chunk.pixels[len(chunk.originals)] = decoded.pixels
        chunk.originals.append((image.image_id, image.path, decoded.width, decoded.height, decoded.applied))
    return replace(chunk, pixels=chunk.pixels[: len(chunk.originals)])
