from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from imageclef.learners.views import random_crop


def numbered(n: int, size: int) -> torch.Tensor:
    """Images whose pixels hold their row and column, as a store gives them: channels last in memory."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    image = torch.stack([rows, columns, rows * 0 + 7], dim=-1).to(torch.uint8)
    return image.expand(n, -1, -1, -1).permute(0, 3, 1, 2)


def places(n: int, size: int, crop: int) -> np.ndarray:
    """Row and column of the first pixel of each window, (n, 2)."""
    return random_crop(numbered(n, size), crop)[:, :2, 0, 0].numpy().astype(int)


def test_a_crop_is_a_window_of_its_own_image() -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, 3, 7, 7), dtype=np.uint8))
    torch.manual_seed(0)
    crops = random_crop(images, 5)
    torch.manual_seed(0)
    tops, lefts = torch.randint(3, (9,)).tolist(), torch.randint(3, (9,)).tolist()
    for crop, image, top, left in zip(crops, images, tops, lefts, strict=True):
        assert torch.equal(crop, image[:, top : top + 5, left : left + 5])
    assert crops.is_contiguous(memory_format=torch.channels_last)


def test_every_place_is_equally_likely_and_rows_do_not_follow_columns() -> None:
    torch.manual_seed(1)
    found = places(9000, 12, 10)
    counts = np.zeros((3, 3))
    np.add.at(counts, tuple(found.T), 1)
    assert stats.chisquare(counts.ravel()).pvalue > 1e-4


@pytest.mark.parametrize("size", [8, 16])
def test_a_whole_image_stays_as_it_is(size: int) -> None:
    images = numbered(2, size)
    assert random_crop(images, size) is images


def test_grey_images_that_are_repeated_are_cropped_alike() -> None:
    grey = torch.arange(36, dtype=torch.uint8).view(1, 1, 6, 6).expand(4, 3, -1, -1)
    crops = random_crop(grey, 4)
    assert torch.equal(crops[:, 0], crops[:, 2])
    assert (crops[:, 0].diff(dim=1) == 6).all()
