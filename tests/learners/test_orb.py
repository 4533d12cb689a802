from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from imageclef.errors import TrainingError
from imageclef.learners.base import Training
from imageclef.learners.images import DeviceImages
from imageclef.learners.orb import ORB
from imageclef.learners.settings import ORBSettings
from tests.learners.drawing import blobs

TINY = {"image_size": 96, "n_words": 6, "n_keypoints": 40, "fast_threshold": 20, "edge_threshold": 31}


def fitted(**changes: object) -> ORB:
    learner = ORB(ORBSettings(**{**TINY, **changes}))
    learner.fit(DeviceImages(blobs(20, 96)), Training())
    return learner


def counted_one_by_one(learner: ORB, image: torch.Tensor) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(image.permute(1, 2, 0).numpy()), cv2.COLOR_RGB2GRAY)
    _, descriptors = cv2.ORB_create(nfeatures=40).detectAndCompute(grey, None)
    counts = np.zeros(6)
    for descriptor in [] if descriptors is None else descriptors:
        bits = np.array([(byte >> (7 - bit)) & 1 for byte in descriptor for bit in range(8)], float)
        distances = [((bits - word) ** 2).sum() for word in learner.words.numpy().astype(float)]
        counts[int(np.argmin(distances))] += 1
    return counts


def test_counts_equal_a_loop_over_descriptors_and_words() -> None:
    learner, images = fitted(weighting="none"), blobs(4, 96, seed=1)
    expected = np.stack([counted_one_by_one(learner, image) for image in images])
    assert (expected.sum(1) > 0).all()
    np.testing.assert_array_equal(learner.transform(images).numpy(), expected)


@pytest.mark.parametrize("weighting", ["max", "tf-idf", "sqrt"])
def test_weightings_are_what_they_say(weighting: str) -> None:
    images = blobs(4, 96, seed=1)
    counts = fitted(weighting="none").transform(images).double()
    learner = fitted(weighting=weighting)
    expected = {
        "max": counts / counts.max(1, keepdim=True).values,
        "tf-idf": (counts * learner.idf) / ((counts * learner.idf) ** 2).sum(1, keepdim=True).sqrt(),
        "sqrt": (counts / counts.sum(1, keepdim=True)) ** 0.5,
    }[weighting]
    torch.testing.assert_close(learner.transform(images).double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weighting", ["none", "max", "tf-idf", "sqrt"])
def test_an_image_without_keypoints_has_a_histogram_of_zeros(weighting: str) -> None:
    blank = torch.full((2, 3, 96, 96), 128, dtype=torch.uint8)
    assert torch.equal(fitted(weighting=weighting).transform(blank), torch.zeros(2, 6))


def test_too_few_descriptors_say_what_helps() -> None:
    blank = DeviceImages(torch.full((5, 3, 96, 96), 128, dtype=torch.uint8))
    with pytest.raises(
        TrainingError, match=r"0 ORB descriptors in 5 images, expected at least learner\.n_words = 6"
    ):
        ORB(ORBSettings(**TINY)).fit(blank, Training())


def test_rare_words_weigh_more() -> None:
    """log((1 + n) / (1 + number of images with the word)), over the images of the sample."""
    learner, images = fitted(weighting="none"), blobs(20, 96)
    present = (np.stack([counted_one_by_one(learner, image) for image in images]) > 0).sum(0)
    assert len(set(present)) > 1
    np.testing.assert_allclose(learner.idf.numpy(), np.log(21 / (1 + present)), rtol=1e-5)


def test_the_vocabulary_is_learned_from_a_sample() -> None:
    """As many images as were asked for, drawn by the seed."""

    class Counted(DeviceImages):
        def batch(self, rows: np.ndarray) -> torch.Tensor:
            asked.update(rows.tolist())
            return super().batch(rows)

    samples = []
    for seed in (0, 1):
        asked: set[int] = set()
        learner = ORB(ORBSettings(**{**TINY, "sample_images": 5}))
        learner.fit(Counted(blobs(20, 96)), Training(seed=seed))
        samples.append(asked)
    assert [len(sample) for sample in samples] == [5, 5]
    assert samples[0] != samples[1]


def test_no_more_keypoints_than_asked_for() -> None:
    counts = fitted(weighting="none").transform(blobs(6, 96, seed=2)).sum(1)
    assert counts.max() <= 40
    assert fitted(weighting="none", n_keypoints=10).transform(blobs(6, 96, seed=2)).sum(1).max() <= 10
