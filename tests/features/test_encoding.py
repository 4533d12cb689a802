from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from imageclef.features.columns import side_by_side
from imageclef.features.encoding import Encoding, as_image
from imageclef.features.extract import features_of
from imageclef.features.feature_set import FeatureSet
from imageclef.images.decode import Mode
from imageclef.learners.base import Learner
from imageclef.learners.table import choose

PICTURES = {size: np.random.default_rng(size).integers(0, 256, (size, size, 3), np.uint8) for size in (8, 12)}


def learners() -> list[Learner]:
    return [choose({"name": "pixels", "image_size": size}).create(0).eval() for size in PICTURES]


def decode_at(size: int, mode: Mode) -> NDArray[np.uint8]:
    picture = PICTURES[size]
    return picture if mode == "rgb" else picture[..., :1]


def extracted(learner: Learner) -> NDArray[np.float32]:
    pixels = as_image(decode_at(learner.settings.image_size, learner.mode))[None]
    rows: NDArray[np.float32] = features_of(learner, pixels, "codes", "fp32").numpy()
    return rows


def test_one_learner_gives_its_features() -> None:
    learner = learners()[0]
    row = Encoding([learner])(decode_at)
    assert np.array_equal(row.compared, extracted(learner))
    assert row.side_by_side is row.compared


@pytest.mark.parametrize("weights", [(), (3.0, 1.0)])
def test_several_are_joined_as_their_sets_are_for_an_index(weights: tuple[float, ...]) -> None:
    both = learners()
    row = Encoding(both, weights)(decode_at)
    sets = [FeatureSet(["a"], extracted(learner)) for learner in both]
    assert np.array_equal(row.side_by_side, side_by_side(sets).features[:])
    assert np.array_equal(row.compared, side_by_side(sets, True, weights or None).features[:])


def test_a_grey_picture_has_three_equal_planes() -> None:
    image = as_image(PICTURES[8][..., :1])
    assert image.shape == (3, 8, 8)
    assert torch.equal(image[0], image[2])
