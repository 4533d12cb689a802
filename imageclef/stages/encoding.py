"""Encode: the features of image files that are in no store, as the configured feature sets have them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from imageclef.data.decoding import decode
from imageclef.errors import DataError, ImageRefused
from imageclef.features.columns import brought_to
from imageclef.features.extract import features_of
from imageclef.learners.base import Learner
from imageclef.workspace import Workspace


def encode(workspace: Workspace, images: Sequence[Path]) -> NDArray[np.float32]:
    """Features (n_images, n_features); of several sets beside each other, each at the length of its weight.

    Raises:
        DataError: an image cannot be read.
        ConfigError: a set is not of a learner that is here.
    """
    learners = workspace.learners()
    blocks = [_encoded(workspace, learner, images) for learner in learners]
    if len(blocks) == 1:
        return blocks[0]
    weights = workspace.config.weights or (1.0,) * len(blocks)
    return np.hstack([brought_to(weight**0.5, block) for weight, block in zip(weights, blocks, strict=True)])


def _encoded(workspace: Workspace, learner: Learner, images: Sequence[Path]) -> NDArray[np.float32]:
    size, mode = learner.settings.image_size, learner.mode
    rows = []
    for image in images:
        try:
            decoded = decode(image, size, mode, workspace.config.ingest.window)
        except ImageRefused as refusal:
            raise DataError(f"{image}: {refusal}; expected an image file") from None
        batch = torch.from_numpy(decoded.pixels).permute(2, 0, 1).expand(3, -1, -1)[None].to(workspace.device)
        found = features_of(learner, batch, workspace.config.extract.output, workspace.precision)
        rows.append(found.cpu().numpy())
    return np.concatenate(rows)
