from __future__ import annotations

import numpy as np
import torch

from imageclef.learners.pixels import Pixels
from imageclef.learners.settings import PixelsSettings
from tests.learners.drawing import blobs

TINY = {"image_size": 8}


def test_features_are_grey_levels_without_their_mean() -> None:
    images = blobs(5, 8)
    grey = images.numpy().astype(np.float64).mean(axis=1).reshape(5, 64)
    expected = grey - grey.mean(axis=1, keepdims=True)
    found = Pixels(PixelsSettings(image_size=8)).transform(images)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)


def test_brightness_does_not_matter() -> None:
    images = blobs(3, 16) // 2
    learner = Pixels(PixelsSettings(image_size=8))
    torch.testing.assert_close(learner.transform(images + 20), learner.transform(images), atol=1e-3, rtol=0)
