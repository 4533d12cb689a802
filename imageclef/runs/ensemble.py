"""Which runs to join, and with which weights: a greedy search on held-out images, and a guard against it.

    start with nothing
    repeat: add the run, one that is in already or not, with which the mean of the scores, cut where it is
            best, has the highest official F1; stop where none raises it by more than a least gain

The number of times that a run was added is its weight: a tuned weighted vote where only answers are known, a
tuned average where there are scores.

The more combinations are tried, the more of what is found is luck. So the search is repeated without each
fold of the held-out images, groups kept whole, and what it finds answers that fold; beside it stands the
run that was best on the other folds. The ensemble is worth taking only where it is better on these images,
which neither was chosen on.

Reference: R. Caruana et al., "Ensemble selection from libraries of models", ICML 2004.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.data.splits import group_codes, group_folds
from imageclef.detectors.thresholds import LEAST_GAIN, image_f1
from imageclef.runs.members import Member, Pool, answered, centred, own_cut, weighted_mean

MOST_STEPS = 20
WORTH_A_STEP = 1e-4
"""Of the mean F1: a run that raises it by less is not added."""


@dataclass(frozen=True)
class Step:
    """One step of the search.

    Attributes:
        added: the run.
        before: mean F1 on the held-out images without it; 0 in the first step.
        after: and with it.
    """

    added: str
    before: float
    after: float


@dataclass(frozen=True)
class Ensemble:
    """Runs that are joined.

    Attributes:
        weights: of each run that is in it, in the order of the runs.
        cuts: of each of them, the score that is moved to 0.5: see `imageclef.runs.members.centred`.
        cut: the mean score from which a concept is answered; 2 where only the most certain one is.
        score: mean F1 on the images that it was found on, before an edition's limit.
        alone: the same of every run by itself, whether or not it is in the ensemble.
        steps: how it was found.
        without: the score that is left when a run is taken out and the cut tuned anew; 0 where it was alone.
    """

    weights: Mapping[str, int]
    cuts: Mapping[str, float]
    cut: float
    score: float
    alone: Mapping[str, float]
    steps: tuple[Step, ...]
    without: Mapping[str, float]


@dataclass(frozen=True)
class Trial:
    """What the search is worth on images that it has not seen.

    Attributes:
        ensemble: mean F1 of the ensembles, each on the fold that it was found without.
        single: the same of the runs that were best on the other folds, as published.
        spread: standard error of the difference of the two, over groups.
        folds: (ensemble, single) for each fold.
        best: the run that is best on all of the images, as published.
    """

    ensemble: float
    single: float
    spread: float
    folds: tuple[tuple[float, float], ...]
    best: str

    @property
    def taken(self) -> bool:
        """Whether the ensemble is better than the single run."""
        return self.ensemble > self.single + LEAST_GAIN


def search(
    members: Sequence[Member],
    labels: csr_array,
    n_truth: NDArray[np.int64],
    most_steps: int = MOST_STEPS,
    least_gain: float = WORTH_A_STEP,
) -> Ensemble:
    """Find an ensemble.

    Args:
        members: at least one, over the same images, of different names; among equal ones the first wins.
        labels: (n_images, n_concepts), sparse with sorted indices.
        n_truth: (n_images,) concepts of the truth in and outside the vocabulary; all at least 1.
        most_steps: the most additions, at least 1.
        least_gain: of mean F1; a smaller one ends the search.
    """
    cuts = [own_cut(member, labels, n_truth) for member in members]
    scores = [centred(member.scores, cut) for member, cut in zip(members, cuts, strict=True)]
    pool = Pool(scores, labels, n_truth)
    one = np.eye(len(members), dtype=np.int64)
    counts, cut, score, steps = np.zeros(len(members), dtype=np.int64), 0.0, 0.0, list[Step]()
    for _ in range(most_steps):
        tried = [pool.best_mean(counts + added) for added in one]
        best = _first_best([after for _, after in tried])
        if steps and tried[best][1] <= score + least_gain:
            break
        steps.append(Step(members[best].name, score, tried[best][1]))
        counts += one[best]
        cut, score = tried[best]
    chosen = {member.name: row for row, member in enumerate(members) if counts[row]}
    return Ensemble(
        weights={name: int(counts[row]) for name, row in chosen.items()},
        cuts={name: cuts[row] for name, row in chosen.items()},
        cut=cut,
        score=score,
        alone={member.name: pool.best_mean(only)[1] for member, only in zip(members, one, strict=True)},
        steps=tuple(steps),
        without={name: pool.best_mean(counts * (1 - one[row]))[1] for name, row in chosen.items()},
    )


def joined_scores(members: Sequence[Member], ensemble: Ensemble) -> csr_array:
    """The mean of the scores of the runs that are in an ensemble.

    Args:
        members: those runs, and any others, over the same images; the order does not matter.
        ensemble: found on images of these runs, whichever.

    Returns:
        float32, (n_images, n_concepts).
    """
    by_name = {member.name: member.scores for member in members}
    moved = [centred(by_name[name], cut) for name, cut in ensemble.cuts.items()]
    return weighted_mean(moved, list(ensemble.weights.values()))


def join(members: Sequence[Member], ensemble: Ensemble, max_concepts: int) -> csr_array:
    """What an ensemble answers.

    Args:
        members: see `joined_scores`.
        ensemble: see `joined_scores`.
        max_concepts: of an image; the least certain are dropped.

    Returns:
        bool, (n_images, n_concepts).
    """
    return answered(joined_scores(members, ensemble), ensemble.cut, max_concepts)


def cross_validate(
    members: Sequence[Member],
    labels: csr_array,
    n_truth: NDArray[np.int64],
    ids: Sequence[str],
    groups: Mapping[str, str],
    max_concepts: int,
    n_folds: int = 5,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Trial:
    """Compare what the search finds with the best single run, on images that neither was chosen on.

    Args:
        members: as for `search`.
        labels: as for `search`.
        n_truth: as for `search`.
        ids: of the images.
        groups: the group of an image; images may be missing, and are groups of their own.
        max_concepts: of an answer.
        n_folds: of the images, or one for each group where there are fewer groups.
        seed: of the folds.
        progress: told after each fold.

    Raises:
        DataError: all images are of one group.
    """
    group_of = group_codes(ids, groups)
    n_groups = int(group_of.max(initial=-1)) + 1
    fold_of = group_folds(ids, groups, max(2, min(n_folds, n_groups)), seed)
    published = np.stack([image_f1(member.answers, labels, n_truth) for member in members])
    f1 = np.zeros((len(ids), 2))
    for fold in range(fold_of.max() + 1):
        others, own = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        found = search([member.take(others) for member in members], labels[others], n_truth[others])
        answers = join([member.take(own) for member in members], found, max_concepts)
        f1[own, 0] = image_f1(answers, labels[own], n_truth[own])
        f1[own, 1] = published[_first_best(published[:, others].mean(axis=1)), own]
        if progress is not None:
            progress(1)
    ensemble, single = f1.mean(axis=0).tolist()
    return Trial(
        ensemble=ensemble,
        single=single,
        spread=_standard_error(f1[:, 0] - f1[:, 1], group_of),
        folds=tuple(tuple(f1[fold_of == fold].mean(axis=0).tolist()) for fold in range(fold_of.max() + 1)),
        best=members[_first_best(published.mean(axis=1))].name,
    )


def _first_best(scores: Sequence[float] | NDArray[np.float64]) -> int:
    """The first of those that are equal to the highest, but for rounding."""
    return int(np.argmax(np.asarray(scores) >= np.max(scores) - LEAST_GAIN))


def _standard_error(values: NDArray[np.float64], group_of: NDArray[np.int64]) -> float:
    """Of the mean of values, (n_images,), of which those of a group are not independent."""
    sums = np.bincount(group_of, weights=values - values.mean())
    return float(np.sqrt(np.sum(sums**2) * len(sums) / max(1, len(sums) - 1)) / len(values))
