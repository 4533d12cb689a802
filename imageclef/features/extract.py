"""Bulk extraction: a learner over a whole collection, or over a range of its rows, a batch at a time.

Every minute the number of finished rows is written beside them, so that a stopped extraction goes on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imageclef.errors import TrainingError
from imageclef.features.feature_set import FEATURES, FeatureSet
from imageclef.learners.base import Learner
from imageclef.learners.images import Images
from imageclef.progress import Advance

ROWS_DONE = "rows-done.txt"
SAVED_EVERY = 60.0
"""Seconds: what a kill can cost."""

Rows = np.memmap[tuple[int, int], np.dtype[np.float32]]


@torch.inference_mode()
def features_of(
    learner: Learner, images: Tensor, output: Literal["codes", "pooled"], precision: Literal["fp32", "bf16"]
) -> Tensor:
    """Features of one batch, uint8 (n, 3, h, w) to float32 (n, d), on the device of the images.

    Raises:
        TrainingError: this learner has no such output.
    """
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
        features = learner.transform(images) if output == "codes" else learner.feature_pyramid(images)
    if features is None:
        raise TrainingError(f"{type(learner).__name__} has no pooled levels; set extract.output = 'codes'")
    return features.float()


def width_of(learner: Learner, images: Images, output: Literal["codes", "pooled"]) -> int:
    """Width of a feature row of this output."""
    if output == "codes":
        return learner.n_features
    return features_of(learner, images.batch(np.zeros(1, np.int64)), output, "fp32").shape[1]


def begun(folder: Path, ids: Sequence[str], width: int) -> Rows:
    """The rows of an extraction that was stopped, or new ones.

    Args:
        folder: of the feature set; the same as when it was stopped.
        ids: the image of each row.
        width: of a row.

    Returns:
        Writable, float32, (n_images, width).

    Raises:
        DataError: an id appears twice or cannot stand in a line.
        ArtifactError: there is no room for them.
    """
    if _rows_done(folder):
        with suppress(OSError, ValueError):
            rows: Rows = np.load(folder / FEATURES, mmap_mode="r+", allow_pickle=False)
            if rows.shape == (len(ids), width) and rows.dtype == np.float32:
                return rows
    (folder / ROWS_DONE).unlink(missing_ok=True)
    return FeatureSet.create(folder, ids, width)


def extract(
    learner: Learner,
    images: Images,
    into: NDArray[np.float32],
    *,
    output: Literal["codes", "pooled"],
    precision: Literal["fp32", "bf16"],
    batch_size: int,
    advance: Advance,
    folder: Path | None = None,
    rows: range | None = None,
) -> None:
    """Fill `into` (n_images, d) with the features of every image, or of a range of them.

    Several processes that fill ranges of `row_ranges` into one file write the bytes that one process writes.

    Args:
        learner: on the device that does the work.
        images: rows in the order of `into`.
        into: preallocated, may be memory-mapped.
        output: codes or pooled levels.
        precision: of the networks' arithmetic.
        batch_size: images in flight.
        advance: called with the number of rows just finished.
        folder: of the rows, if they are those of `begun` and all are to be filled: an extraction that was
            stopped goes on from where it was.
        rows: to fill, beginning with a whole batch; None fills all.

    Raises:
        ValueError: the range does not begin with a whole batch.
        TrainingError: a feature that is not finite; the message names the row.
    """
    state = next((tensor for tensor in (*learner.parameters(), *learner.buffers())), None)
    device = state.device if state is not None else torch.device("cpu")
    learner.eval()
    wanted = rows if rows is not None else range(len(images))
    if wanted.start % batch_size:
        raise ValueError(f"rows from {wanted.start}; expected a multiple of batch_size = {batch_size}")
    first = wanted.start
    if folder is not None and rows is None:
        # Whole batches only: in another batch the last bits of a row may differ.
        first = _rows_done(folder) // batch_size * batch_size
        if first:
            advance(first)
    saved_at = time.monotonic()
    for start in range(first, wanted.stop, batch_size):
        stop = min(start + batch_size, wanted.stop)
        batch = images.batch(np.arange(start, stop)).to(device, non_blocking=True)
        features = features_of(learner, batch, output, precision)
        if not bool(torch.isfinite(features).all()):
            bad = start + int((~torch.isfinite(features)).any(1).nonzero()[0])
            raise TrainingError(f"features of row {bad} are not finite; train the learner again at fp32")
        into[start:stop] = features.cpu().numpy()
        advance(stop - start)
        if folder is not None and rows is None and time.monotonic() - saved_at > SAVED_EVERY:
            _save_progress(into, folder, stop)
            saved_at = time.monotonic()


def row_ranges(n_rows: int, n_parts: int, batch_size: int) -> list[range]:
    """Divide rows among processes, in whole batches; at most `n_parts` ranges, none empty."""
    n_batches = -(-n_rows // batch_size)
    bounds = [n_batches * part // n_parts * batch_size for part in range(n_parts + 1)]
    ranges = [range(start, min(stop, n_rows)) for start, stop in pairwise(bounds)]
    return [rows for rows in ranges if rows]


def _rows_done(folder: Path) -> int:
    try:
        return int((folder / ROWS_DONE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _save_progress(rows: NDArray[np.float32], folder: Path, n: int) -> None:
    """Write down how many rows are done, once they are on the disk."""
    if isinstance(rows, np.memmap):
        rows.flush()
    beside = folder / f".{ROWS_DONE}"
    beside.write_text(str(n), encoding="ascii")
    beside.replace(folder / ROWS_DONE)
