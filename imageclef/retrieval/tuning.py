"""Which vote, how many neighbours and which cut: chosen on held-out images, on the official score."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.errors import DataError
from imageclef.retrieval.voting import (
    Choice,
    Vote,
    as_scored,
    counts,
    mean_lengths,
    normalised,
    places,
    similarities,
    vote_scores,
)

BestCut: TypeAlias = Callable[[NDArray[np.float32], csr_array, NDArray[np.int64]], tuple[float, float]]
"""From scores (n, n_concepts), labels and n_truth (n,) to the best cut, `scores >= cut`, and its score."""

_MOST_R = 20


def tune_votes(
    rows: NDArray[np.int64],
    distances: NDArray[np.float32],
    metric: Literal["l2", "cosine"],
    labels_train: csr_array,
    labels_valid: csr_array,
    n_truth: NDArray[np.int64],
    ks: Sequence[int],
    best_cut: BestCut,
    votes: Collection[Vote] = get_args(Vote),
    progress: Callable[[int], None] | None = None,
) -> Choice:
    """The vote, k and cut with the highest mean per-image F1, 2TP / (2TP + FP + FN), on held-out images.

    Images without a concept in the truth are left out of the mean. Among equal scores the smaller k
    wins, then the simpler vote.

    Args:
        rows: neighbours of the held-out images, rows of `labels_train`, (n_valid, k_max).
        distances: as `Index.search` returns them, (n_valid, k_max).
        metric: of the distances.
        labels_train: (n_train, n_concepts).
        labels_valid: (n_valid, n_concepts).
        n_truth: concepts of each held-out image, in and outside the vocabulary, (n_valid,).
        ks: numbers of neighbours to try; more than k_max counts as k_max.
        best_cut: finds the threshold of the weighted vote, exactly.
        votes: to choose between.
        progress: told after each k.

    Raises:
        DataError: no k or no vote is given, or no image has a concept.
    """
    if not ks or min(ks) < 1 or not votes or not n_truth.any():
        labelled = np.count_nonzero(n_truth)
        raise DataError(f"votes cannot be tuned with k in {list(ks)} on {labelled} images with concepts")
    tried: list[Choice] = []
    for k in sorted(min(k, rows.shape[1]) for k in ks):
        near = rows[:, :k]
        choices = _frequency_choices(near, labels_train, labels_valid, n_truth)
        tried += [choice for choice in choices if choice.vote in votes]
        if "weighted" in votes:
            shares = vote_scores(near, normalised(similarities(distances[:, :k], metric)), labels_train)
            cut, score = best_cut(*_packed(shares, labels_valid), n_truth)
            tried.append(Choice("weighted", k, float(cut), float(score)))
        if progress is not None:
            progress(1)
    return max(tried, key=lambda choice: choice.score)


def _frequency_choices(
    rows: NDArray[np.int64], labels_train: csr_array, labels_valid: csr_array, n_truth: NDArray[np.int64]
) -> Iterator[Choice]:
    """Union, and most-frequent for every r, of one k."""
    k = rows.shape[1]
    counted = counts(rows, labels_train)
    lengths = np.diff(counted.indptr)
    query, place = np.repeat(np.arange(len(rows)), lengths), places(counted)
    right = _hits(counted, labels_valid)

    def score(kept: NDArray[np.bool_]) -> float:
        found = np.bincount(query[kept & right], minlength=len(rows))
        return _mean_f1(found, np.bincount(query[kept], minlength=len(rows)), n_truth)

    yield Choice("union", k, None, score(np.ones(len(query), dtype=np.bool_)))
    means = np.repeat(mean_lengths(rows, labels_train), lengths)
    yield Choice("most-frequent", k, None, score(place < means))
    for r in range(1, min(_MOST_R, int(lengths.max(initial=0))) + 1):
        yield Choice("most-frequent", k, r, score(place < r))


def _mean_f1(right: NDArray[np.int64], given: NDArray[np.int64], n_truth: NDArray[np.int64]) -> float:
    """From right answers, answers and truths, each (n_images,)."""
    counted = n_truth > 0
    return float(np.mean(2 * right[counted] / (given + n_truth)[counted]))


def _packed(scores: csr_array, labels: csr_array) -> tuple[NDArray[np.float32], csr_array]:
    """Scores and labels with each image's scored concepts moved to the left, padded with scores of 0.

    The score of an image does not ask which concept is in which column, and a concept without a score is
    never answered. So this is the same problem with a few hundred columns instead of a vocabulary of 100,000.
    """
    lengths = np.diff(scores.indptr)
    image = np.repeat(np.arange(scores.shape[0]), lengths)
    column = np.arange(scores.nnz) - np.repeat(scores.indptr[:-1], lengths)
    shape = (scores.shape[0], max(1, int(lengths.max(initial=0))))
    packed = np.zeros(shape, dtype=np.float32)
    packed[image, column] = as_scored(scores.data)
    right = _hits(scores, labels)
    return packed, csr_array((np.ones(right.sum(), np.uint8), (image[right], column[right])), shape=shape)


def _hits(scores: csr_array, labels: csr_array) -> NDArray[np.bool_]:
    """Which of the stored scores are of a concept that the image has, (nnz,); both with sorted indices."""

    def keys(matrix: csr_array) -> NDArray[np.int64]:
        image = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
        return np.asarray(image * matrix.shape[1] + matrix.indices)

    return np.isin(keys(scores), keys(labels), assume_unique=True)
