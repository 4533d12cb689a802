from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from imageclef.errors import ConfigError
from imageclef.features.regions import Regions, agreement, mean_spatial_features
from imageclef.learners.base import Learner
from imageclef.learners.images import DeviceImages
from imageclef.learners.settings import choose
from imageclef.learners.table import create

SIZE = 64


def aae() -> Learner:
    settings = {
        "name": "aae",
        "image_size": SIZE,
        "crop_size": SIZE,
        "width": 8,
        "latent_dim": 64,
        "epochs": 0,
    }
    return create(choose(settings), 0).eval()


def noise(n: int, seed: int) -> torch.Tensor:
    """Grey images of smooth noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 1, 8, 8, generator=generator)
    smooth = F.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")
    return (60 + 60 * smooth).byte().expand(-1, 3, -1, -1).contiguous()


def with_object(images: torch.Tensor, top: int, left: int) -> torch.Tensor:
    """A bright ring with a hole, 24 pixels wide, at a place."""
    ys, xs = np.mgrid[:24, :24] - 11.5
    ring = torch.from_numpy(np.hypot(ys, xs) < 11) & torch.from_numpy(np.hypot(ys, xs) > 5)
    marked = images.clone()
    window = marked[:, :, top : top + 24, left : left + 24]
    window[:, :, ring] = 255
    return marked


def test_the_positions_sum_to_the_features() -> None:
    learner, images = aae(), noise(3, 0)
    with torch.inference_mode():
        located = learner.spatial_features(images)
        assert located is not None
        assert located.shape == (3, 4, 4, 64)
        torch.testing.assert_close(located.sum((1, 2)), learner.transform(images), rtol=1e-4, atol=1e-4)


def test_both_maps_sum_to_the_inner_product_about_the_mean() -> None:
    learner, images = aae(), noise(40, 0)
    mean = mean_spatial_features(learner, DeviceImages(images))
    assert mean is not None
    first, rest = agreement(learner, images[0], images[1:4], mean)
    with torch.inference_mode():
        about = learner.transform(images[:4]) - mean.sum((0, 1))
    expected = (about[1:] @ about[0]).numpy()
    np.testing.assert_allclose(first.sum((1, 2)), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    np.testing.assert_allclose(rest.sum((1, 2)), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_the_object_that_two_images_share_is_where_they_agree() -> None:
    learner = aae()
    mean = mean_spatial_features(learner, DeviceImages(noise(200, 1)))
    assert mean is not None
    for top in (4, 36):
        for left in (4, 36):
            pair = with_object(noise(2, 10 + top + left), top, left)
            maps = agreement(learner, pair[0], pair[1:], mean)
            for found in maps:
                heat = found[0].reshape(2, 2, 2, 2).sum((1, 3))
                quadrant = np.unravel_index(int(heat.argmax()), heat.shape)
                assert quadrant == (top > 20, left > 20)
                assert heat.max() > 0.4 * heat.clip(0).sum()  # a quarter by chance


def test_a_learner_without_positions_has_no_maps() -> None:
    learner = create(choose({"name": "pixels"}), 0)
    assert mean_spatial_features(learner, DeviceImages(noise(4, 0))) is None


def test_regions_of_decoded_pictures_are_those_of_the_batch() -> None:
    learner, images = aae(), noise(40, 0)
    regions = Regions.of([learner], "codes", lambda one: DeviceImages(images))
    assert regions.size == (SIZE, learner.mode)
    pictures = [image.permute(1, 2, 0).numpy() for image in images[:3]]
    mean = mean_spatial_features(learner, DeviceImages(images))
    assert mean is not None
    for found, expected in zip(
        regions.between(pictures[0], pictures[1:]),
        agreement(learner, images[0], images[1:3], mean),
        strict=True,
    ):
        assert np.array_equal(found, expected)
    assert regions.between(pictures[0], [])[0].shape == (0, 4, 4)


def test_what_has_no_regions_says_why() -> None:
    def images(learner: Learner) -> DeviceImages:
        return DeviceImages(noise(4, 0))

    with pytest.raises(ConfigError, match="features of 2 learners: regions are those of one"):
        Regions.of([aae(), aae()], "codes", images)
    with pytest.raises(ConfigError, match="'pooled': regions are those of codes"):
        Regions.of([aae()], "pooled", images)
    with pytest.raises(ConfigError, match="Pixels: its features have no place in the picture"):
        Regions.of([create(choose({"name": "pixels"}), 0)], "codes", images)
