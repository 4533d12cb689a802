from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from sklearn import decomposition

from imageclef.learners.base import Training
from imageclef.learners.images import DeviceImages
from imageclef.learners.pca import PCA
from imageclef.learners.pixel_range import to_unit_range
from imageclef.learners.settings import PCASettings
from tests.learners.drawing import blobs

TINY = {"image_size": 12, "n_components": 5}


def test_components_and_projections_equal_an_exact_decomposition() -> None:
    images = blobs(700, 8)
    learner = PCA(PCASettings(image_size=8, n_components=6, iterations=12))
    learner.fit(DeviceImages(images), Training())
    pixels = to_unit_range(images).flatten(1).numpy()
    exact = decomposition.PCA(6, svd_solver="full").fit(pixels)
    cosines = np.abs((learner.components.numpy() * exact.components_.T).sum(0))
    np.testing.assert_allclose(cosines, 1, atol=1e-3)
    np.testing.assert_allclose(
        np.abs(learner.transform(images).numpy()), np.abs(exact.transform(pixels)), atol=2e-2
    )
    np.testing.assert_allclose(learner.deviations, np.sqrt(exact.explained_variance_), rtol=2e-3)


def test_the_sign_of_a_component_is_fixed() -> None:
    learner = PCA(PCASettings(image_size=8, n_components=6))
    learner.fit(DeviceImages(blobs(60, 8)), Training())
    peaks = learner.components.gather(0, learner.components.abs().argmax(0, keepdim=True))
    assert bool((peaks > 0).all())


def test_memory_holds_one_block_of_images() -> None:
    """Images are asked for in blocks, each once a pass."""

    class Counted(DeviceImages):
        asked: ClassVar[list[int]] = []

        def batch(self, rows: np.ndarray) -> torch.Tensor:
            self.asked.append(len(rows))
            return super().batch(rows)

    images = Counted(blobs(1100, 8))
    PCA(PCASettings(image_size=8, n_components=4, iterations=1)).fit(images, Training())
    assert max(images.asked) == 512
    assert sum(images.asked) == 4 * 1100


def test_features_are_projections_and_reconstruct() -> None:
    """With their signs: features times components, plus the mean, are the images, up to what was left out."""
    images = blobs(80, 8)
    learner = PCA(PCASettings(image_size=8, n_components=60))
    learner.fit(DeviceImages(images), Training())
    pixels = to_unit_range(images).flatten(1)
    torch.testing.assert_close(learner.mean, pixels.mean(0), rtol=1e-4, atol=1e-5)
    features = learner.transform(images)
    torch.testing.assert_close(features, (pixels - pixels.mean(0)) @ learner.components, rtol=1e-3, atol=1e-3)
    rest = features @ learner.components.T + learner.mean - pixels
    assert rest.square().sum() < 0.1 * (pixels - pixels.mean(0)).square().sum()
    shown = learner.sheet(images[:4], torch.Generator())["reconstructions"]
    assert (shown.int() - images[:4].int()).abs().float().mean() < 25


def test_components_come_by_falling_variance() -> None:
    images = blobs(200, 8)
    learner = PCA(PCASettings(image_size=8, n_components=6))
    learner.fit(DeviceImages(images), Training())
    deviations = learner.transform(images).std(0, correction=0)
    assert torch.equal(deviations.argsort(descending=True), torch.arange(6))
    torch.testing.assert_close(deviations, learner.deviations, rtol=1e-3, atol=1e-4)
