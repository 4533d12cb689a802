from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.errors import DataError
from imageclef.retrieval.tuning import tune_votes
from imageclef.retrieval.voting import Choice, Vote, vote


def slow_score(answers: csr_array, labels: csr_array, n_truth: NDArray[np.int64]) -> float:
    """The official score, one image at a time."""
    scores = []
    for image in range(labels.shape[0]):
        if n_truth[image]:
            given = set(np.flatnonzero(answers.toarray()[image]).tolist())
            true = set(np.flatnonzero(labels.toarray()[image]).tolist())
            scores.append(2 * len(given & true) / (len(given) + int(n_truth[image])))
    return sum(scores) / len(scores)


def slow_cut(
    scores: NDArray[np.float32], labels: csr_array, n_truth: NDArray[np.int64]
) -> tuple[float, float]:
    """Every score as a cut."""
    cuts = [cut for cut in np.unique(scores).tolist() if cut > 0]
    tried = [(slow_score(csr_array(scores >= np.float32(cut)), labels, n_truth), cut) for cut in cuts]
    score, cut = max(tried, default=(0.0, 1.0))
    return cut, score


def collection(
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32], csr_array, csr_array, NDArray[np.int64]]:
    """40 training images of 4 kinds with noisy concepts; 25 held-out ones with mostly fitting neighbours."""
    rng = np.random.default_rng(seed)
    train_kind, valid_kind = rng.integers(0, 4, 40), rng.integers(0, 4, 25)
    profile = rng.random((4, 12)) * (rng.random((4, 12)) < 0.5)
    train = (rng.random((40, 12)) < profile[train_kind]).astype(np.uint8)
    valid = (rng.random((25, 12)) < profile[valid_kind]).astype(np.uint8)
    distances = rng.random((25, 40)) + (train_kind[None] != valid_kind[:, None])
    rows = np.argsort(distances, axis=1)[:, :12]
    n_truth = valid.sum(axis=1).astype(np.int64)
    n_truth[:12] += rng.integers(0, 3, 12)
    near = np.take_along_axis(distances, rows, axis=1).astype(np.float32)
    return rows, near, csr_array(train), csr_array(valid), n_truth


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["union", "most-frequent", "weighted"])
def test_the_choice_scores_what_it_says_and_no_other_scores_more(seed: int, kind: Vote) -> None:
    rows, distances, train, valid, n_truth = collection(seed)
    ks = (1, 3, 8)
    choice = tune_votes(rows, distances, "l2", train, valid, n_truth, ks, slow_cut, votes=(kind,))
    assert choice.vote == kind
    assert choice.k in ks

    answers = vote(choice, rows, distances, "l2", train)
    assert choice.score == pytest.approx(slow_score(answers, valid, n_truth), abs=1e-12)
    cuts = {
        "union": [None],
        "most-frequent": [None, 1, 2, 3, 4, 5],
        "weighted": np.linspace(0.05, 1, 20).tolist(),
    }
    for k in ks:
        for cut in cuts[kind]:
            other = vote(Choice(kind, k, cut), rows, distances, "l2", train)
            assert slow_score(other, valid, n_truth) <= choice.score + 1e-12


def test_all_votes_together_find_the_best_of_each() -> None:
    rows, distances, train, valid, n_truth = collection(5)
    given = (rows, distances, "l2", train, valid, n_truth, (1, 2, 5, 12, 500), slow_cut)
    kinds: tuple[Vote, ...] = ("union", "most-frequent", "weighted")
    alone = [tune_votes(*given, votes=(kind,)) for kind in kinds]  # type: ignore[arg-type]
    done: list[int] = []
    assert tune_votes(*given, progress=done.append) == max(alone, key=lambda choice: choice.score)  # type: ignore[arg-type]
    assert done == [1] * 5


def test_among_equal_scores_the_smaller_k_and_the_simpler_vote() -> None:
    labels = csr_array(np.ones((3, 2), np.uint8))
    rows, distances = np.array([[0, 1, 2]]), np.ones((1, 3), np.float32)
    choice = tune_votes(rows, distances, "l2", labels, labels[:1], np.array([2]), (3, 2), slow_cut)
    assert choice == Choice("union", 2, None, 1.0)


def test_the_cut_is_searched_without_the_columns_that_no_neighbour_has() -> None:
    seen = []

    def cut(
        scores: NDArray[np.float32], labels: csr_array, n_truth: NDArray[np.int64]
    ) -> tuple[float, float]:
        seen.append((scores.shape, labels.toarray().tolist(), n_truth.tolist()))
        return 0.5, 0.25

    train = csr_array(([1, 1, 1], ([0, 0, 1], [7, 99_000, 50])), shape=(2, 100_000))
    valid = csr_array(([1, 1], ([0, 1], [99_000, 3])), shape=(2, 100_000))
    rows, distances = np.array([[0], [1]]), np.ones((2, 1), np.float32)
    tune_votes(rows, distances, "l2", train, valid, np.array([1, 1]), (1,), cut, votes=("weighted",))
    assert seen == [((2, 2), [[0, 1], [0, 0]], [1, 1])]


def test_nothing_to_tune_on_is_refused() -> None:
    rows, distances, train, valid, n_truth = collection(0)
    with pytest.raises(DataError, match=r"k in \[\] on 2\d images"):
        tune_votes(rows, distances, "l2", train, valid, n_truth, (), slow_cut)
    with pytest.raises(DataError, match=r"k in \[1\] on 0 images with concepts"):
        tune_votes(rows, distances, "l2", train, valid, np.zeros_like(n_truth), (1,), slow_cut)
