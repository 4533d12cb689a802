"""Thresholds that maximise the official score: the mean over images of the F1 of two concept sets.

`global_threshold` is exact. Lowering one cut through all scores adds one (image, concept) pair at a time,
and each pair changes only its image's F1: a sort and a cumulative sum of those changes see every cut.
`per_concept_thresholds` is coordinate ascent on the same score. With all other concepts' answers held,
adding one concept to an image changes its F1 by a known amount, so that the best cut of that concept is
again a sort and a cumulative sum.

Conventions: `scores` (n_images, n_concepts) float32, probabilities or log-odds, not NaN; `labels` the truth
within the vocabulary, sparse and of the same shape; `n_truth` (n_images,) the truth's concepts inside *and*
outside the vocabulary. Images without truth leave the mean, as in 2018. An answer is
`score >= threshold`; answers are sparse bool matrices of the shape of the scores.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from imageclef.detectors.ranking import descending
from imageclef.errors import TrainingError

LEAST_GAIN = 1e-12
"""Of the mean F1: a smaller one is rounding, and moves no threshold."""


def mean_image_f1(predicted: sparse.csr_array, labels: sparse.csr_array, n_truth: NDArray[np.int64]) -> float:
    """The official score: the mean F1 over the images that have truth; 0 if there is none.

    Args:
        predicted: (n_images, n_concepts), sparse.
        labels: (n_images, n_concepts), sparse.
        n_truth: (n_images,), concepts of the truth in and outside the vocabulary.
    """
    counted = np.asarray(n_truth) > 0
    return float(np.mean(image_f1(predicted, labels, n_truth)[counted])) if counted.any() else 0.0


def image_f1(
    predicted: sparse.csr_array, labels: sparse.csr_array, n_truth: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The F1 of each image, (n_images,); 0 for one without truth, which the mean leaves out."""
    answered, truth = sparse.csr_array(predicted, dtype=bool), sparse.csr_array(labels, dtype=bool)
    hits = np.asarray(answered.multiply(truth).sum(axis=1)).ravel()
    sizes = np.asarray(n_truth) + np.asarray(answered.sum(axis=1)).ravel()
    f1 = np.zeros(len(sizes))
    np.divide(2.0 * hits, sizes, out=f1, where=np.asarray(n_truth) > 0)
    return f1


def apply_thresholds(
    scores: NDArray[np.float32], thresholds: float | NDArray[np.float32]
) -> sparse.csr_array:
    """The concepts whose score reaches the threshold: one for all, or (n_concepts,)."""
    return sparse.csr_array(scores >= np.asarray(thresholds, dtype=scores.dtype))


def global_threshold(
    scores: NDArray[np.float32], labels: sparse.csr_array, n_truth: NDArray[np.int64]
) -> tuple[float, float]:
    """The one threshold with the best mean per-image F1, of all there are.

    Args:
        scores: (n_images, n_concepts).
        labels: (n_images, n_concepts), sparse.
        n_truth: (n_images,).

    Returns:
        The threshold (the highest of equally good ones) and its mean F1.

    Raises:
        TrainingError: no image has truth.
    """
    scored, truth, sizes = _images_with_truth(scores, labels, n_truth)
    ranked, order = descending(scored)
    hits = np.cumsum(np.take_along_axis(truth, order, axis=1), axis=1, dtype=np.float32)
    f1 = 2.0 * hits / (np.arange(1, scored.shape[1] + 1) + sizes[:, None])
    steps = np.diff(f1, axis=1, prepend=0.0).ravel()
    cuts, falling = descending(ranked.ravel())
    total = np.cumsum(steps[falling])
    # Equal scores are answered together: only the last of them is a cut.
    last = np.append(cuts[1:] != cuts[:-1], True)
    threshold = cuts[last][np.argmax(total[last])]
    return float(threshold), mean_image_f1(apply_thresholds(scores, threshold), labels, n_truth)


def per_concept_thresholds(
    scores: NDArray[np.float32],
    labels: sparse.csr_array,
    n_truth: NDArray[np.int64],
    start: float,
    sweeps: int = 3,
) -> NDArray[np.float32]:
    """A threshold for each concept, by coordinate ascent from one for all.

    Each step is exact, so the mean F1 on these images never falls below that of `start`.

    Args:
        scores: (n_images, n_concepts).
        labels: (n_images, n_concepts), sparse.
        n_truth: (n_images,).
        start: for every concept, say `global_threshold`.
        sweeps: the most rounds over all concepts; a round without a change is the last.

    Returns:
        (n_concepts,) float32; just above its highest score for a concept best never answered.

    Raises:
        TrainingError: no image has truth.
    """
    scored, truth, sizes = _images_with_truth(scores, labels, n_truth)
    ascent = _Ascent(scored, truth, sizes, np.float32(start))
    for _ in range(sweeps):
        moved = [ascent.improve(concept) for concept in range(scores.shape[1])]
        if not any(moved):
            break
    return ascent.thresholds


def best_k(
    scores: NDArray[np.float32], labels: sparse.csr_array, n_truth: NDArray[np.int64]
) -> tuple[int, float]:
    """The one number of concepts, the most certain of each image, with the best mean per-image F1.

    Args:
        scores: (n_images, n_concepts).
        labels: (n_images, n_concepts), sparse.
        n_truth: (n_images,).

    Returns:
        k, at least 1 and the lowest of equally good ones, and its mean F1.

    Raises:
        TrainingError: no image has truth.
    """
    scored, truth, sizes = _images_with_truth(scores, labels, n_truth)
    _, order = descending(scored)
    hits = np.cumsum(np.take_along_axis(truth, order, axis=1), axis=1, dtype=np.float64)
    means = np.mean(2.0 * hits / (np.arange(1, scored.shape[1] + 1) + sizes[:, None]), axis=0)
    best = int(np.argmax(means))
    return best + 1, float(means[best])


def top_k(scores: NDArray[np.float32], k: int, images: NDArray[np.bool_] | None = None) -> sparse.csr_array:
    """The k concepts with the highest scores, of equal ones the earlier columns.

    Args:
        scores: (n_images, n_concepts).
        k: for each image.
        images: (n_images,) those that get any; all by default.
    """
    chosen = np.arange(len(scores)) if images is None else np.flatnonzero(images)
    columns = descending(scores[chosen])[1][:, :k]
    rows = np.repeat(chosen, columns.shape[1])
    entries = (np.ones(columns.size, dtype=bool), (rows, columns.ravel()))
    return sparse.csr_array(sparse.coo_array(entries, shape=scores.shape))


def expected_f1_top_k(probabilities: NDArray[np.float32], expected_outside: float = 0.0) -> sparse.csr_array:
    """For each image the k most probable concepts, k maximising 2 sum(p of the k) / (k + expected truth).

    It is the F1's expectation to first order: that of the numerator over that of the denominator. The
    expected number of true concepts is the sum of the probabilities and `expected_outside`.

    Args:
        probabilities: (n_images, n_concepts), calibrated.
        expected_outside: true concepts outside the vocabulary that an image has on average.
    """
    ranked, order = descending(probabilities)
    hits = np.cumsum(ranked, axis=1, dtype=np.float64)
    k = np.arange(1, probabilities.shape[1] + 1)
    best = np.argmax(2 * hits / (k + hits[:, -1:] + expected_outside), axis=1)
    images, places = np.nonzero(k - 1 <= best[:, None])
    entries = (np.ones(len(images), dtype=bool), (images, order[images, places]))
    return sparse.csr_array(sparse.coo_array(entries, shape=probabilities.shape))


def limit(scores: NDArray[np.float32], predicted: sparse.csr_array, max_concepts: int) -> sparse.csr_array:
    """Drop the least certain concepts of the images that have more than an edition allows.

    Args:
        scores: (n_images, n_concepts); of equal scores the more frequent concept, the earlier column, stays.
        predicted: (n_images, n_concepts), sparse.
        max_concepts: for one image.
    """
    answered = sparse.csr_array(predicted, dtype=bool, copy=True)
    answered.eliminate_zeros()
    answered.sort_indices()
    for image in np.flatnonzero(np.diff(answered.indptr) > max_concepts):
        entries = slice(answered.indptr[image], answered.indptr[image + 1])
        order = np.argsort(-scores[image, answered.indices[entries]], kind="stable")
        answered.data[entries][order[max_concepts:]] = False
    answered.eliminate_zeros()
    return answered


class _Ascent:
    """Thresholds, and the answers they give: `hits` right ones and `size` = answered + true, by image."""

    def __init__(
        self,
        scores: NDArray[np.float32],
        truth: NDArray[np.bool_],
        sizes: NDArray[np.int64],
        start: np.float32,
    ) -> None:
        self.thresholds = np.full(scores.shape[1], start, dtype=np.float32)
        self._scores, self._order = descending(scores.T)
        self._truth = np.take_along_axis(truth.T, self._order, axis=1)
        answered = scores >= start
        self._hits = (answered & truth).sum(axis=1).astype(np.float64)
        self._size = sizes + answered.sum(axis=1).astype(np.float64)
        self._least_gain = LEAST_GAIN * len(scores)

    def improve(self, concept: int) -> bool:
        """Set one concept's threshold to the best cut, the others held; False if none is better."""
        images, cuts, truth = self._order[concept], self._scores[concept], self._truth[concept]
        before = int(np.searchsorted(-cuts, -self.thresholds[concept], side="right"))
        hits, size = self._hits[images], self._size[images]
        hits[:before] -= truth[:before]
        size[:before] -= 1
        gains = 2 * (hits + truth) / (size + 1) - 2 * hits / size
        total = np.concatenate([[0.0], np.cumsum(gains)])
        # A cut between equal scores cannot be made.
        total[1:-1][cuts[1:] == cuts[:-1]] = -np.inf
        best = int(np.argmax(total))
        if total[best] <= total[before] + self._least_gain:
            return False
        self.thresholds[concept] = cuts[best - 1] if best else np.nextafter(cuts[0], np.float32(np.inf))
        now = np.arange(len(images)) < best
        self._hits[images] = hits + (now & truth)
        self._size[images] = size + now
        return True


def _images_with_truth(
    scores: NDArray[np.float32], labels: sparse.csr_array, n_truth: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    """Scores, truth (dense, a quarter of the scores' size) and its sizes, of the images that count."""
    counted = np.flatnonzero(np.asarray(n_truth) > 0)
    if len(counted) == 0:
        raise TrainingError("thresholds: no image has a true concept; expected some to tune on")
    truth = labels[counted].toarray().astype(bool)
    return scores[counted], truth, np.asarray(n_truth)[counted]
