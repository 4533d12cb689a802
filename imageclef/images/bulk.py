"""Many image files at once: decoded by processes that may die, handed on in order.

Each thread here waits for a process of its own and hands its pixels on; none of them decodes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from imageclef.config import ReadingSettings
from imageclef.data.collection import ImageFile, Refusal
from imageclef.errors import ImageRefused
from imageclef.images.decode import CHANNELS, Mode
from imageclef.images.pool import AS_IT_IS, decoders

Original = tuple[str, str, int, int, str, str]
"""Id, path, width and height of an image that was read, what was applied to its values, and the digest of its
file (`imageclef.images.digests`)."""

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
    folder: Path,
    images: Sequence[ImageFile],
    size: int,
    mode: Mode,
    workers: int,
    reading: ReadingSettings = AS_IT_IS,
) -> Generator[Chunk, None, None]:
    """Decode a collection, `workers` files at a time, a bounded way ahead of the reader.

    Args:
        folder: of the collection.
        images: with paths relative to it; chunks keep their order.
        size: side of the squares in pixels.
        mode: channels.
        workers: processes.
        reading: how files are read, and what one may take.

    Raises:
        ImageclefError: no process can be started.
    """
    step = max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // (size * size * CHANNELS[mode])))
    threads, stop = ThreadPoolExecutor(workers), Event()
    ahead: deque[Future[Chunk]] = deque()
    try:
        for start in range(0, len(images), step):
            some = images[start : start + step]
            ahead.append(threads.submit(_decode_some, folder, some, size, mode, reading, stop))
            if len(ahead) == workers * _LOOK_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        stop.set()
        threads.shutdown(cancel_futures=True)


def cores() -> int:
    """The cores this process may use, which in a container need not be all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decode_some(
    folder: Path,
    images: Sequence[ImageFile],
    size: int,
    mode: Mode,
    reading: ReadingSettings,
    stop: Event,
) -> Chunk:
    chunk = Chunk(np.empty((0, size, size, CHANNELS[mode]), np.uint8), [], [])
    paths = [folder / image.path for image in images]
    pixels = []
    for image, answer in zip(
        images, decoders.decode(paths, {"size": size, "mode": mode}, reading, stop), strict=True
    ):
        if isinstance(answer, ImageRefused):
            why = answer.kind, answer.detail, answer.digest
            chunk.refused.append(Refusal(image.image_id, image.path, *why))
        else:
            pixels.append(answer.pixels)
            about = answer.width, answer.height, answer.applied, answer.digest
            chunk.originals.append((image.image_id, image.path, *about))
    return replace(chunk, pixels=np.stack(pixels)) if pixels else chunk
