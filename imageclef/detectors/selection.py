"""Which rule decides: chosen by cross-validation over groups, on images that nothing was fitted to.

A rule with many parameters always does best on the images it was tuned on. Here each is tuned, calibration
and all, on some of the validation images and scored on the others, group by group. A rule is taken instead of
the plain global threshold only where it gains more than one standard error of the gain.

Reference: L. Breiman et al., "Classification and regression trees", 1984 (the rule of one standard error).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from imageclef.detectors.calibration import Calibration, fit_calibration, plain
from imageclef.detectors.rules import Evidence, Nearest, Rule, RuleName, decide, tune
from imageclef.detectors.thresholds import image_f1


@dataclass(frozen=True)
class Candidate:
    """A way to decide.

    Attributes:
        rule: by its name.
        refined: whether it sees calibrated probabilities and leaves no image without an answer.
        copies: whether it may copy the nearest image's concepts.
    """

    rule: RuleName
    refined: bool = True
    copies: bool = False


PLAIN = "global"
CANDIDATES: dict[str, Candidate] = {
    PLAIN: Candidate("global", refined=False),
    "calibrated": Candidate("global"),
    "expected-f1": Candidate("expected-f1"),
    "per-concept": Candidate("per-concept"),
    "fixed-k": Candidate("fixed-k"),
    "calibrated+nearest": Candidate("global", copies=True),
    "expected-f1+nearest": Candidate("expected-f1", copies=True),
    "per-concept+nearest": Candidate("per-concept", copies=True),
    "fixed-k+nearest": Candidate("fixed-k", copies=True),
}
"""By name, the plainest first: of equally good ones the first is taken."""


@dataclass(frozen=True)
class Validation:
    """Images that nothing was fitted to, n of them.

    Attributes:
        log_odds: (n, n_concepts) float32.
        labels: (n, n_concepts), sparse.
        n_truth: (n,), concepts of the truth in and outside the vocabulary.
        nearest: their nearest training images.
        groups: (n,) the number of each one's group.
        folds: (n,) the fold of each; a group is in one fold. With one fold for all, what is tuned on them is
            also scored on them.
    """

    log_odds: NDArray[np.float32]
    labels: sparse.csr_array
    n_truth: NDArray[np.int64]
    nearest: Nearest | None
    groups: NDArray[np.int64]
    folds: NDArray[np.int64]

    def take(self, images: NDArray[np.int64]) -> Validation:
        """Some of the images."""
        return Validation(
            self.log_odds[images],
            self.labels[images],
            self.n_truth[images],
            None if self.nearest is None else self.nearest.take(images),
            self.groups[images],
            self.folds[images],
        )


@dataclass(frozen=True)
class Decision:
    """A tuned way to decide: calibration, then a rule."""

    calibration: Calibration
    rule: Rule

    def __call__(
        self, log_odds: NDArray[np.float32], nearest: Nearest | None, most: int | None = None
    ) -> tuple[sparse.csr_array, NDArray[np.float32]]:
        """Answers (n_images, n_concepts) sparse, and the probabilities they come from, of the same shape."""
        scores = self.calibration.probabilities(log_odds)
        return decide(self.rule, Evidence(scores, nearest), most), scores

    def within(self, n_concepts: int) -> Decision:
        """Keep the first concepts only; the rule of a window has one threshold, which stays."""
        calibration = Calibration(self.calibration.slopes[:n_concepts], self.calibration.offsets[:n_concepts])
        return Decision(calibration, self.rule)


@dataclass(frozen=True)
class Trial:
    """How a candidate did on the validation images, each decided by what was tuned on the other folds.

    Attributes:
        name: of the candidate.
        answers: (n, n_concepts), sparse.
        scores: (n, n_concepts) float32, the probabilities that the candidate saw; shared with others.
        f1: (n,), NaN for images without truth.
        gain: in mean F1, over the plain global threshold.
        spread: the standard error of the gain over groups.
        folds: the mean F1 of each fold; 0 for one without truth.
    """

    name: str
    answers: sparse.csr_array
    scores: NDArray[np.float32]
    f1: NDArray[np.float64]
    gain: float
    spread: float
    folds: tuple[float, ...]

    @property
    def metrics(self) -> dict[str, Any]:
        """What is worth writing down."""
        score = float(np.nanmean(self.f1))
        return {"score": score, "gain": self.gain, "spread": self.spread, "folds": list(self.folds)}

    def within(self, n_concepts: int) -> Trial:
        """The answers among the first concepts alone."""
        return replace(self, answers=self.answers[:, :n_concepts], scores=self.scores[:, :n_concepts])


def tuned(name: str, held: Validation) -> Decision:
    """A candidate tuned on all of some images.

    Raises:
        TrainingError: no image has truth.
    """
    return _decision(CANDIDATES[name], _calibration(held, CANDIDATES[name].refined), held)


def cross_validated(names: Iterable[str], held: Validation) -> list[Trial]:
    """Try candidates on images that they were not tuned on.

    Args:
        names: of candidates; the plain one is tried first in any case.
        held: in the complement of each of its folds an image has truth.
    """
    names = list(dict.fromkeys([PLAIN, *names]))
    numbers, everyone = np.unique(held.folds), np.arange(len(held.folds))
    folds = [(everyone[held.folds != fold], everyone[held.folds == fold]) for fold in numbers]
    if len(numbers) == 1:
        folds = [(everyone, everyone)]
    # One matrix of probabilities for all candidates that see the same.
    scores = {
        refined: np.empty_like(held.log_odds) for refined in {CANDIDATES[name].refined for name in names}
    }
    answers: dict[str, list[sparse.csr_array]] = {name: [] for name in names}
    for tuning, tested in folds:
        part, rest = held.take(tuning), held.take(tested)
        fitted = {refined: _calibration(part, refined) for refined in scores}
        for name in names:
            candidate = CANDIDATES[name]
            decision = _decision(candidate, fitted[candidate.refined], part)
            found, scores[candidate.refined][tested] = decision(rest.log_odds, rest.nearest)
            answers[name].append(found)
    back = np.argsort(np.concatenate([tested for _, tested in folds]))
    trials: list[Trial] = []
    for name in names:
        whole = sparse.csr_array(sparse.vstack(answers[name], format="csr")[back])
        base = trials[0].f1 if trials else None
        trials.append(_judged(name, whole, scores[CANDIDATES[name].refined], base, held))
    return trials


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest score of those whose gain exceeds its spread; the first if there is none."""
    worthy = [trials[0], *(trial for trial in trials[1:] if trial.gain > trial.spread)]
    return max(worthy, key=lambda trial: trial.gain)


def _calibration(held: Validation, refined: bool) -> Calibration:
    return fit_calibration(held.log_odds, held.labels) if refined else plain(held.log_odds.shape[1])


def _decision(candidate: Candidate, calibration: Calibration, held: Validation) -> Decision:
    """The candidate's rule, tuned on these images."""
    nearest = held.nearest if candidate.copies else None
    evidence = Evidence(calibration.probabilities(held.log_odds), nearest)
    rule = tune(candidate.rule, evidence, held.labels, held.n_truth, post_process=candidate.refined)
    return Decision(calibration, rule)


def _judged(
    name: str,
    answers: sparse.csr_array,
    scores: NDArray[np.float32],
    base: NDArray[np.float64] | None,
    held: Validation,
) -> Trial:
    f1 = np.where(held.n_truth > 0, image_f1(answers, held.labels, held.n_truth), np.nan)
    gains = f1 - (f1 if base is None else base)
    counted = np.isfinite(gains)
    mean = float(gains[counted].mean())
    of_groups = np.bincount(held.groups[counted], gains[counted] - mean)
    spread = float(np.sqrt(np.square(of_groups).sum()) / counted.sum())
    in_folds = [f1[(held.folds == fold) & np.isfinite(f1)] for fold in np.unique(held.folds)]
    folds = tuple(float(one.mean()) if len(one) else 0.0 for one in in_folds)
    return Trial(name, answers, scores, f1, mean, spread, folds)
