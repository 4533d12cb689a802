"""From scores to answers, by the measure that counts: the mean over images of 2TP / (answered + true).

Images whose truth is empty leave the mean, as in the official score of 2018. `n_truth` counts every concept
that an image has, in and outside the vocabulary: what cannot be answered is still missed. A concept is
answered where its score is at least its threshold; every threshold here is found exactly, by walking over
all scores, not over a grid.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Scores = NDArray[np.float32]
Counts = NDArray[np.int64]


def mean_image_f1(predicted: csr_array, labels: csr_array, n_truth: Counts) -> float:
    """The mean over images with a truth of the F1 of two concept sets.

    Args:
        predicted: (n_images, n_concepts), what is answered is not 0.
        labels: (n_images, n_concepts), what is true is not 0.
        n_truth: concepts of each image in and outside the vocabulary, (n_images,).
    """
    counted = n_truth > 0
    answered, right = _row_counts(predicted), _row_counts(predicted.astype(bool) * labels.astype(bool))
    return float(np.mean(2 * right[counted] / (answered + n_truth)[counted])) if counted.any() else 0.0


def apply_thresholds(scores: Scores, thresholds: float | NDArray[np.float32]) -> csr_array:
    """Answer every concept whose score reaches its threshold: bool (n_images, n_concepts)."""
    return csr_array(scores >= np.asarray(thresholds, dtype=scores.dtype))


def limit(scores: Scores, predicted: csr_array, most: int) -> csr_array:
    """Keep the `most` concepts of an image with the highest scores; of equal ones the lower columns."""
    crowded = np.flatnonzero(_row_counts(predicted) > most)
    if not len(crowded):
        return predicted
    kept = predicted.toarray()
    answered = np.where(kept[crowded], scores[crowded], -np.inf)
    ranks = np.argsort(-answered, axis=1, kind="stable")
    rows = kept[crowded]
    np.put_along_axis(rows, ranks[:, most:], False, axis=1)
    kept[crowded] = rows
    return csr_array(kept)


def global_threshold(scores: Scores, labels: csr_array, n_truth: Counts) -> tuple[float, float]:
    """The one threshold with the highest mean F1, and that mean.

    With an image's concepts sorted by falling score, its F1 after k of them is known for every k; the
    differences, sorted by score over all images and summed up, give the mean at every cut at once.

    Args:
        scores: (n_images, n_concepts).
        labels: (n_images, n_concepts).
        n_truth: (n_images,).

    Returns:
        The threshold, a score that occurs, or infinity where it is best to answer nothing; and the mean F1.
    """
    counted = np.flatnonzero(n_truth > 0)
    if not len(counted):
        return float("inf"), 0.0
    scores = scores[counted]
    order = np.argsort(-scores, axis=1)
    right = np.take_along_axis(labels[counted].toarray() != 0, order, axis=1)
    n_answered = np.arange(1, scores.shape[1] + 1)
    f1 = 2 * np.cumsum(right, axis=1) / (n_answered + n_truth[counted][:, None])
    gains = np.diff(f1, axis=1, prepend=0.0).ravel()
    cuts = np.take_along_axis(scores, order, axis=1).ravel()
    by_score = np.argsort(-cuts)
    position, total = _best_prefix(cuts[by_score], gains[by_score])
    threshold = float(cuts[by_score[position - 1]]) if position else float("inf")
    return threshold, total / len(counted)


def per_concept_thresholds(
    scores: Scores, labels: csr_array, n_truth: Counts, start: float, sweeps: int = 3
) -> NDArray[np.float32]:
    """A threshold for each concept, by coordinate ascent on the mean F1 from one threshold for all.

    With the answers for all other concepts held, the images sorted by the concept's score and the change of
    each one's F1 if it is answered, the best cut is the best prefix sum: a step is exact and never loses.

    Args:
        scores: (n_images, n_concepts).
        labels: (n_images, n_concepts).
        n_truth: (n_images,).
        start: the threshold of every concept before the first sweep.
        sweeps: passes over all concepts; fewer where one changes nothing.

    Returns:
        (n_concepts,).
    """
    counted = np.flatnonzero(n_truth > 0)
    scores, truth = scores[counted], n_truth[counted]
    true = np.ascontiguousarray(labels[counted].toarray().T != 0)
    thresholds = np.full(scores.shape[1], start, dtype=np.float32)
    columns = np.ascontiguousarray(scores.T)
    order = np.argsort(-columns, axis=1, kind="stable")
    given = columns >= thresholds[:, None]
    answered, right = given.sum(0), (given & true).sum(0)
    for _ in range(sweeps):
        changed = False
        for concept, column in enumerate(columns):
            answered -= given[concept]
            right -= given[concept] & true[concept]
            gains = 2 * (right + true[concept]) / (answered + 1 + truth) - 2 * right / (answered + truth)
            ranked = order[concept]
            position, total = _best_prefix(column[ranked], gains[ranked])
            if total > gains[given[concept]].sum() + 1e-12:
                changed = True
                thresholds[concept] = column[ranked[position - 1]] if position else np.inf
                given[concept] = column >= thresholds[concept]
            answered += given[concept]
            right += given[concept] & true[concept]
        if not changed:
            break
    return thresholds


def expected_f1_top_k(probabilities: Scores) -> csr_array:
    """The k most likely concepts of each image, k maximising 2 sum p / (k + sum of all p).

    The expected F1 to first order, for calibrated and independent concepts: no threshold, nothing to tune.

    Args:
        probabilities: (n_images, n_concepts).

    Returns:
        bool (n_images, n_concepts).
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1).astype(np.float64)
    n_answered = np.arange(1, probabilities.shape[1] + 1)
    expected = 2 * np.cumsum(ranked, axis=1) / (n_answered + ranked.sum(1, keepdims=True))
    k = expected.argmax(1) + 1
    answered = np.zeros(probabilities.shape, dtype=bool)
    np.put_along_axis(answered, order, n_answered <= k[:, None], axis=1)
    return csr_array(answered)


def _best_prefix(falling: Scores, gains: NDArray[np.float64]) -> tuple[int, float]:
    """The length of the prefix with the largest sum of gains, and the sum; equal scores are never parted."""
    sums = np.cumsum(gains)
    ends = np.append(falling[1:] < falling[:-1], True)
    sums = np.where(ends, sums, -np.inf)
    best = int(sums.argmax()) if len(sums) else 0
    return (best + 1, float(sums[best])) if len(sums) and sums[best] > 0 else (0, 0.0)


def _row_counts(matrix: csr_array) -> Counts:
    """Entries of each row that are not 0, (n_rows,)."""
    return np.asarray((matrix != 0).sum(axis=1)).ravel().astype(np.int64)
