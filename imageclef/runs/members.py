"""Members of an ensemble: runs whose scores are brought to one scale, averaged, and cut.

A member's scores say how certain it is of each concept: the probabilities of a classifier, the shares of a
vote among neighbours, or, of a run of which only the answers are known, 1 for an answer and 0 for none. The
mean of the first two is score averaging, that of the last a vote.

Scales differ: a cut of 0.15 may be as good for one member as 0.4 is for another, and a plain mean would
listen to the one with the larger numbers. So the log-odds of each are moved until its own best cut lies at
0.5, where an answer's 1 and 0 have theirs. The order of a member's scores, and with it what it answers
alone, stays as it was. What lies far below the cut is no opinion, and becomes 0.

Every image of which any member has an opinion is answered: its most certain concept is, however low, and any
other as certain. An image without an answer scores 0 as long as its truth has a concept, so nothing is
lost by that; and a run of which only the answers are known answers, alone, what it answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.detectors.thresholds import global_threshold

LEAST_OPINION = 1 / 64
"""A lower score, its cut at 0.5, counts as 0.

Float32 numbers from here to 1 are multiples of 2**-29, so that float64 sums of a million of them are exact:
the mean does not depend on the order of the members, and a cut means the same wherever it is applied.
"""

_CERTAIN = np.float32(2)


@dataclass(frozen=True)
class Member:
    """A run with all that is known of it, over some images.

    Attributes:
        name: of the run.
        scores: (n_images, n_concepts) float32 from 0 to 1, sparse with sorted indices.
        answers: (n_images, n_concepts), sparse: what the run answers.
    """

    name: str
    scores: csr_array
    answers: csr_array

    def take(self, images: NDArray[np.int64]) -> Member:
        """The same run over some of the images."""
        return Member(self.name, self.scores[images], self.answers[images])


def centred(scores: csr_array, cut: float) -> csr_array:
    """Scores with their log-odds moved so that `cut` comes to lie at 0.5.

    logit(q) = logit(p) - logit(cut), written as odds. The float32 next below the cut stays below 0.5, so that
    rounding changes no answer. A cut of 0 or 1 leaves the scores alone: they are answers already.

    Args:
        scores: (n_images, n_concepts), from 0 to 1, sparse.
        cut: the score from which a concept is answered, a float32.

    Returns:
        float32 of the same shape; what is below `LEAST_OPINION` is not stored.
    """
    moved = scores.data.astype(np.float64)
    if 0 < cut < 1:
        moved = _moved(moved, cut)
    moved = moved.astype(np.float32)
    moved[moved < LEAST_OPINION] = 0
    kept = csr_array((moved, scores.indices.copy(), scores.indptr.copy()), shape=scores.shape)
    kept.eliminate_zeros()
    return kept


def as_probabilities(mean: csr_array, cuts: Sequence[float], weights: Sequence[int]) -> csr_array:
    """The mean of centred scores, moved back by as much as its members were moved on average.

    Only the order of the scores matters for the answers; this is for whoever reads them as probabilities.

    Args:
        mean: as `weighted_mean` returns it.
        cuts: that the members were centred at.
        weights: of the members.

    Returns:
        float32, of the same shape.
    """
    logits = [np.log(cut / (1 - cut)) if 0 < cut < 1 else 0.0 for cut in cuts]
    back = 1 / (1 + np.exp(np.average(logits, weights=weights)))
    moved = _moved(mean.data.astype(np.float64), float(back)).astype(np.float32)
    return csr_array((moved, mean.indices.copy(), mean.indptr.copy()), shape=mean.shape)


def weighted_mean(scores: Sequence[csr_array], weights: Sequence[int]) -> csr_array:
    """The mean of centred scores, float32, (n_images, n_concepts).

    Args:
        scores: of one shape, as `centred` returns them.
        weights: of each, at least 1.
    """
    total = csr_array(scores[0].shape, dtype=np.float64)
    for matrix, weight in zip(scores, weights, strict=True):
        total = total + matrix.astype(np.float64) * weight
    mean = csr_array(total)
    mean.sort_indices()
    mean.data = (mean.data / sum(weights)).astype(np.float32)
    return mean


def answered(scores: csr_array, cut: float, max_concepts: int) -> csr_array:
    """The concepts of each image whose score reaches the cut, or else the most certain ones.

    Args:
        scores: (n_images, n_concepts) float32; 0 is never answered.
        cut: see `Pool.best_cut`.
        max_concepts: of an image; the least certain are dropped, of equal ones the later columns.

    Returns:
        bool, of the same shape.
    """
    lengths = np.diff(scores.indptr)
    image = np.repeat(np.arange(scores.shape[0]), lengths)
    falling = np.lexsort((scores.indices, -scores.data, image))
    highest = scores.data[falling[np.repeat(scores.indptr[:-1], lengths)]]
    place = np.empty(scores.nnz, dtype=np.int64)
    place[falling] = np.arange(scores.nnz) - np.repeat(scores.indptr[:-1], lengths)
    reached = (scores.data >= np.float32(cut)) | (scores.data == highest)
    kept = (scores.data > 0) & reached & (place < max_concepts)
    answers = csr_array((kept, scores.indices.copy(), scores.indptr.copy()), shape=scores.shape)
    answers.eliminate_zeros()
    return answers


class Pool:
    """Scores of several members over the same images, laid out to try many means of them.

    The F1 of an image does not ask which concept stands in which column, and a concept of which no member
    has an opinion is never answered. So the concepts of each image are moved to the left: a few hundred
    columns instead of a vocabulary of 100,000.

    Attributes:
        scores: (n_members, n_pairs) float32: of every (image, concept) pair of which any member has one.
    """

    def __init__(self, scores: Sequence[csr_array], labels: csr_array, n_truth: NDArray[np.int64]) -> None:
        """Lay out.

        Args:
            scores: of each member, (n_images, n_concepts).
            labels: (n_images, n_concepts), sparse.
            n_truth: (n_images,) concepts of the truth in and outside the vocabulary; all at least 1.
        """
        keys_of = [_keys(matrix) for matrix in scores]
        keys = np.sort(np.concatenate(keys_of))
        # np.unique looks the keys up in a table, which takes ten times as long.
        keys = keys[np.diff(keys, prepend=-1) > 0]
        self.scores = np.zeros((len(scores), len(keys)), dtype=np.float32)
        for row, own, matrix in zip(self.scores, keys_of, scores, strict=True):
            row[np.searchsorted(keys, own)] = matrix.data
        n_images = labels.shape[0]
        self._image = keys // labels.shape[1]
        lengths = np.bincount(self._image, minlength=n_images)
        self._column = np.arange(len(keys)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        self._shape = (n_images, max(1, int(lengths.max(initial=0))))
        self._right = np.isin(keys, _keys(labels), assume_unique=True)
        self._n_truth = n_truth

    def best_mean(self, counts: NDArray[np.int64]) -> tuple[float, float]:
        """Cut and mean F1 of the mean of the members' scores.

        Args:
            counts: (n_members,) of each.

        Returns:
            The best cut, every image with a score being answered, and its mean F1; 0 and 0 without members.
        """
        if not counts.any():
            return 0.0, 0.0
        total = np.zeros(self.scores.shape[1])
        for member in np.flatnonzero(counts):
            total += counts[member] * self.scores[member].astype(np.float64)
        return self.best_cut((total / counts.sum()).astype(np.float32))

    def best_cut(self, scores: NDArray[np.float32], every: bool = True) -> tuple[float, float]:
        """The cut with the best mean per-image F1, of all there are, and that F1.

        Args:
            scores: (n_pairs,).
            every: whether the most certain concepts of each image are answered however low their score is;
                the cut is then 2 where it is best to answer no more than those.
        """
        packed = np.zeros(self._shape, dtype=np.float32)
        packed[self._image, self._column] = scores
        if every:
            highest = packed.max(axis=1, keepdims=True)
            packed[(packed == highest) & (highest > 0)] = _CERTAIN
        # A pair that other members have an opinion of, but not these: a cut of 0 must not find it.
        right = self._right & (scores > 0)
        pairs = (self._image[right], self._column[right])
        labels = csr_array((np.ones(len(pairs[0]), dtype=np.uint8), pairs), shape=self._shape)
        return global_threshold(packed, labels, self._n_truth)


def own_cut(member: Member, labels: csr_array, n_truth: NDArray[np.int64]) -> float:
    """The cut through a member's scores, as they are, that is best for it alone."""
    pool = Pool([member.scores], labels, n_truth)
    return pool.best_cut(pool.scores[0], every=False)[0]


def _moved(p: NDArray[np.float64], cut: float) -> NDArray[np.float64]:
    """Probabilities with their odds divided by those of `cut`."""
    return p * (1 - cut) / (p * (1 - cut) + cut * (1 - p))


def _keys(matrix: csr_array) -> NDArray[np.int64]:
    """A number for each stored (image, concept) pair, rising, (nnz,)."""
    image = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return np.asarray(image * matrix.shape[1] + matrix.indices)
