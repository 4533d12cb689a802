"""Bulk extraction: a learner over a whole collection, a batch at a time."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imageclef.errors import TrainingError
from imageclef.learners.base import Images, Learner
from imageclef.progress import Advance


@torch.inference_mode()
def features_of(
    learner: Learner, images: Tensor, output: Literal["codes", "pooled"], precision: Literal["fp32", "bf16"]
) -> Tensor:
    """Features of one batch, uint8 (n, 3, h, w) to float32 (n, d), on the device of the images.

    Raises:
        TrainingError: this learner has no such output.
    """
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
        features = learner.transform(images) if output == "codes" else learner.pooled(images)
    if features is None:
        raise TrainingError(f"{type(learner).__name__} has no pooled levels; set extract.output = 'codes'")
    return features.float()


def width_of(learner: Learner, images: Images, output: Literal["codes", "pooled"]) -> int:
    """Width of a feature row of this output."""
    if output == "codes":
        return learner.n_features
    return features_of(learner, images.batch(np.zeros(1, np.int64)), output, "fp32").shape[1]


def extract(
    learner: Learner,
    images: Images,
    into: NDArray[np.float32],
    *,
    output: Literal["codes", "pooled"],
    precision: Literal["fp32", "bf16"],
    batch_size: int,
    advance: Advance,
) -> None:
    """Fill `into` (n_images, d) with the features of every image.

    Args:
        learner: on the device that does the work.
        images: rows in the order of `into`.
        into: preallocated, may be memory-mapped.
        output: codes or pooled levels.
        precision: of the networks' arithmetic.
        batch_size: images in flight.
        advance: told how many are done.

    Raises:
        TrainingError: a feature that is not finite; the message names the row.
    """
    state = next((tensor for tensor in (*learner.parameters(), *learner.buffers())), None)
    device = state.device if state is not None else torch.device("cpu")
    learner.eval()
    for start in range(0, len(images), batch_size):
        rows = np.arange(start, min(start + batch_size, len(images)))
        batch = images.batch(rows).to(device, non_blocking=True)
        features = features_of(learner, batch, output, precision)
        if not bool(torch.isfinite(features).all()):
            bad = start + int((~torch.isfinite(features)).any(1).nonzero()[0])
            raise TrainingError(f"features of row {bad} are not finite; train the learner again at fp32")
        into[rows[0] : rows[-1] + 1] = features.cpu().numpy()
        advance(len(rows))
