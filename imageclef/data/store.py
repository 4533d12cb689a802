"""The image store: every image of a collection decoded once, at one size, in one memory-mapped array.

    images.npy    uint8 (n_images, size, size, channels)
    ids.txt       row i of the array is line i
    images.csv    id, path, width, height: the original of each row
    refused.csv   id, path, reason: what is not in the array
"""

from __future__ import annotations

import csv
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from imageclef.data.collection import ImageFile, Refusal
from imageclef.data.decoding import Decoded, Mode, decode
from imageclef.errors import ArtifactError, DataError, ImageRefused
from imageclef.progress import Advance

if TYPE_CHECKING:
    from torch import Tensor

_CHANNELS: dict[Mode, int] = {"rgb": 3, "grey": 1}
_CHUNK_IMAGES, _CHUNK_BYTES = 32, 2**20
_LOOK_AHEAD = 4
"""Chunks in flight for each worker: one slow picture holds up the others only after so many."""


@dataclass(frozen=True)
class StoreReport:
    """What `build_store` did.

    Attributes:
        n_read: rows of the store.
        refused: everything in ``refused.csv``, by path.
    """

    n_read: int
    refused: list[Refusal]


def build_store(
    folder: Path,
    images: Sequence[ImageFile],
    out: Path,
    size: int,
    mode: Mode,
    workers: int | None = None,
    progress: Advance | None = None,
    refused: Iterable[Refusal] = (),
) -> StoreReport:
    """Decode a collection into a store; a file that cannot be read is listed and passed over.

    The bytes written do not depend on the number of workers. Memory is bounded by the chunks in flight.

    Args:
        folder: of the collection.
        images: with paths relative to it; rows keep their order.
        out: an existing folder to write into.
        size: side of the stored squares in pixels.
        mode: channels of the stored images.
        workers: threads (the decoders release the interpreter lock); by default one for each core.
        progress: told how many files are done.
        refused: found unusable before, to be listed with the rest.

    Raises:
        DataError: not a single image can be read.
    """
    kept: list[tuple[ImageFile, Decoded]] = []
    ...
