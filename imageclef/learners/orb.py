"""ORB bag of visual words: local binary descriptors, counted by the word of a vocabulary they are nearest to.

1. ORB finds keypoints in each grey image and describes each by 256 bits;
2. k-means on a sample of the descriptors, as vectors of 0 and 1, gives the words;
3. the features of an image are the histogram of its descriptors' nearest words, weighted.

An image without a keypoint has a histogram of zeros.

Reference: Rublee et al. 2011, "ORB: an efficient alternative to SIFT or SURF"; Sivic and Zisserman 2003 for
visual words; Arandjelovic and Zisserman 2012 for the square root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

from imageclef.errors import TrainingError
from imageclef.learners.base import Learner, Training
from imageclef.learners.images import TrainingImages
from imageclef.learners.settings import ORBSettings

_BITS = 256
_BLOCK = 256

Descriptors: TypeAlias = NDArray[Any]
"""uint8 (n_keypoints, 32): 256 bits a row."""


class ORB(Learner):
    """ORB bag of visual words."""

    settings: ORBSettings
    words: Tensor
    idf: Tensor

    def __init__(self, settings: ORBSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("words", torch.zeros(settings.n_words, _BITS))
        self.register_buffer("idf", torch.zeros(settings.n_words))

    @property
    def n_features(self) -> int:
        """Number of words."""
        return self.settings.n_words

    def fit(self, images: TrainingImages, training: Training) -> None:
        """Learn the vocabulary, and how rare each word is."""
        settings, random = self.settings, np.random.default_rng(training.seed)
        chosen = np.sort(random.permutation(len(images))[: settings.sample_images])
        with training.reporter.progress("finding keypoints", len(chosen), "images") as advance:
            found: list[Descriptors] = []
            for start in range(0, len(chosen), _BLOCK):
                rows = chosen[start : start + _BLOCK]
                found += _descriptors(images.batch(rows), settings)
                advance(len(rows))
        pool = _sample(found, settings.sample_descriptors, random)
        if len(pool) < settings.n_words:
            raise TrainingError(
                f"{len(pool)} ORB descriptors in {len(chosen)} images, expected at least learner.n_words = "
                f"{settings.n_words}; larger images or a lower fast_threshold give more"
            )
        means = KMeans(settings.n_words, n_init=1, max_iter=50, random_state=training.seed).fit(_bits(pool))
        self.words = torch.from_numpy(means.cluster_centers_.astype(np.float32))
        self.to(training.device)
        present = torch.stack([self._counts(descriptors) > 0 for descriptors in found]).sum(0)
        self.idf = torch.log((1 + len(found)) / (1 + present)).float()

    def transform(self, images: Tensor) -> Tensor:
        """Weighted histograms: uint8 (n, 3, h, w) to float32 (n, n_words)."""
        counts = torch.stack([self._counts(found) for found in _descriptors(images.cpu(), self.settings)])
        return _weighted(counts, self.idf, self.settings.weighting)

    def sheet(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The images, and the same with their keypoints drawn."""
        finder = _finder(self.settings)
        drawn = [
            cv2.drawKeypoints(
                grey,
                finder.detect(grey),
                np.empty(0),
                (255, 160, 0),
                cv2.DrawMatchesFlags_DRAW_RICH_KEYPOINTS,
            )
            for grey in _greys(images.cpu())
        ]
        return {"images": images.cpu(), "keypoints": torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2)}

    def _counts(self, descriptors: Descriptors) -> Tensor:
        """How many descriptors are nearest to each word, float32 (n_words,)."""
        bits = torch.from_numpy(_bits(descriptors)).to(self.words.device)
        # The squared distance to a word, less the descriptor's own length: the same order of words.
        nearness = bits @ self.words.T - 0.5 * self.words.square().sum(1)
        return torch.bincount(nearness.argmax(1), minlength=len(self.words)).float()


def _weighted(counts: Tensor, idf: Tensor, weighting: str) -> Tensor:
    match weighting:
        case "none":
            return counts
        case "max":
            return counts / counts.amax(1, keepdim=True).clamp(min=1)
        case "tf-idf":
            return torch.nn.functional.normalize(counts * idf, dim=1)
        case "sqrt":
            return (counts / counts.sum(1, keepdim=True).clamp(min=1)).sqrt()
    raise ValueError(f"unknown weighting {weighting!r}")


def _finder(settings: ORBSettings) -> cv2.ORB:
    return cv2.ORB.create(
        nfeatures=settings.n_keypoints,
        fastThreshold=settings.fast_threshold,
        edgeThreshold=settings.edge_threshold,
    )


def _descriptors(images: Tensor, settings: ORBSettings) -> list[Descriptors]:
    """Descriptors of each image, in parallel: OpenCV releases the interpreter while it looks."""

    def describe(grey: NDArray[Any]) -> Descriptors:
        _, found = _finder(settings).detectAndCompute(grey, np.empty(0))
        return np.zeros((0, _BITS // 8), np.uint8) if found is None else found

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(describe, _greys(images)))


def _greys(images: Tensor) -> Iterator[NDArray[Any]]:
    for image in images.permute(0, 2, 3, 1).numpy():
        yield cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)


def _bits(descriptors: Descriptors) -> NDArray[np.float32]:
    return np.unpackbits(descriptors, axis=1).astype(np.float32)


def _sample(found: list[Descriptors], n: int, random: np.random.Generator) -> Descriptors:
    """At most n of all descriptors, at random."""
    pool = np.concatenate(found)
    return pool[np.sort(random.permutation(len(pool))[:n])]
