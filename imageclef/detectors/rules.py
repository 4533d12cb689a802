"""Decision rules: from scores to answers, each tuned on the official per-image F1 by exact steps.

    global        the concepts whose score reaches one threshold
    per-concept   the concepts whose score reaches a threshold of their own
    fixed-k       the k concepts with the highest scores
    expected-f1   for each image as many of the highest as promise the best F1

Two steps of post-processing follow each of them, in this order:

    copied        where the nearest training image is similar enough, its concepts are the answer
    at least      an image that would be left without an answer gets its m highest concepts

Which rule suits a collection is for `selection.py` to find out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from imageclef.detectors.thresholds import (
    apply_thresholds,
    best_k,
    expected_f1_top_k,
    global_threshold,
    image_f1,
    limit,
    per_concept_thresholds,
    top_k,
)

RuleName = Literal["global", "per-concept", "fixed-k", "expected-f1"]


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each of some images.

    Attributes:
        labels: (n_images, n_concepts) sparse, the concepts that it has.
        similarity: (n_images,) float32, higher is nearer.
    """

    labels: sparse.csr_array
    similarity: NDArray[np.float32]

    def take(self, images: NDArray[np.int64] | slice) -> Nearest:
        """Those of some of the images."""
        return Nearest(self.labels[images], self.similarity[images])


@dataclass(frozen=True)
class Evidence:
    """What is known of some images before anything is decided.

    Attributes:
        scores: (n_images, n_concepts) float32, probabilities.
        nearest: their nearest training images, where a rule may copy them.
    """

    scores: NDArray[np.float32]
    nearest: Nearest | None = None


@dataclass(frozen=True)
class Rule:
    """A tuned rule.

    Attributes:
        name: which of the four.
        parameters: (1,) float32, the threshold, k, or the true concepts outside the vocabulary that an image
            has on average; (n_concepts,) for thresholds of their own.
        copied_from: the similarity from which the nearest image's concepts are the answer.
        at_least: concepts of an image that would have none.
    """

    name: RuleName
    parameters: NDArray[np.float32]
    copied_from: float = float("inf")
    at_least: int = 0


def tune(
    name: RuleName,
    evidence: Evidence,
    labels: sparse.csr_array,
    n_truth: NDArray[np.int64],
    post_process: bool = True,
) -> Rule:
    """The rule of this name with the best mean per-image F1 on these images.

    Args:
        name: of the rule.
        evidence: of n images that nothing was fitted to.
        labels: (n_images, n_concepts), sparse.
        n_truth: (n_images,), concepts of the truth in and outside the vocabulary.
        post_process: whether the two steps of post-processing are tuned too; the first only where the
            evidence has neighbours.

    Raises:
        TrainingError: no image has truth.
    """
    rule = Rule(name, _parameters(name, evidence.scores, labels, n_truth))
    if not post_process:
        return rule
    if (nearest := evidence.nearest) is not None:
        gain = image_f1(nearest.labels, labels, n_truth) - image_f1(decide(rule, evidence), labels, n_truth)
        rule = replace(rule, copied_from=_best_similarity(nearest.similarity, gain))
    empty = np.flatnonzero(np.diff(decide(rule, evidence).indptr) == 0)
    if np.any(n_truth[empty] > 0):
        k, score = best_k(evidence.scores[empty], labels[empty], n_truth[empty])
        rule = replace(rule, at_least=k if score > 0 else 0)
    return rule


def decide(rule: Rule, evidence: Evidence, most: int | None = None) -> sparse.csr_array:
    """The answers of a rule.

    Args:
        rule: tuned.
        evidence: of n images.
        most: concepts that an image may have; the least certain go.

    Returns:
        (n_images, n_concepts) bool, sparse.
    """
    answers = _answers(rule, evidence.scores)
    if (nearest := evidence.nearest) is not None:
        answers = _where(nearest.similarity >= np.float32(rule.copied_from), nearest.labels, answers)
    if rule.at_least:
        without = np.diff(answers.indptr) == 0
        answers = _where(without, top_k(evidence.scores, rule.at_least, without), answers)
    return answers if most is None else limit(evidence.scores, answers, most)


def _parameters(
    name: RuleName, scores: NDArray[np.float32], labels: sparse.csr_array, n_truth: NDArray[np.int64]
) -> NDArray[np.float32]:
    match name:
        case "global":
            return np.array([global_threshold(scores, labels, n_truth)[0]], np.float32)
        case "per-concept":
            threshold, _ = global_threshold(scores, labels, n_truth)
            return per_concept_thresholds(scores, labels, n_truth, threshold)
        case "fixed-k":
            return np.array([best_k(scores, labels, n_truth)[0]], np.float32)
        case "expected-f1":
            inside = np.asarray(sparse.csr_array(labels, dtype=bool).sum(axis=1)).ravel()
            return np.array([np.mean(n_truth - inside)], np.float32)


def _answers(rule: Rule, scores: NDArray[np.float32]) -> sparse.csr_array:
    match rule.name:
        case "global" | "per-concept":
            return apply_thresholds(scores, rule.parameters)
        case "fixed-k":
            return top_k(scores, int(rule.parameters[0]))
        case "expected-f1":
            return expected_f1_top_k(scores, float(rule.parameters[0]))


def _best_similarity(similarity: NDArray[np.float32], gain: NDArray[np.float64]) -> float:
    """The similarity from which copying gains most; infinite if it never gains."""
    order = np.argsort(-similarity, kind="stable")
    falling, total = similarity[order], np.cumsum(gain[order])
    last = np.append(falling[1:] != falling[:-1], True)
    best = int(np.argmax(np.where(last, total, -np.inf)))
    return float(falling[best]) if total[best] > 0 else float("inf")


def _where(mask: NDArray[np.bool_], chosen: sparse.csr_array, other: sparse.csr_array) -> sparse.csr_array:
    """Rows of the one where the mask is true, of the other elsewhere."""
    keep = sparse.diags_array(mask.astype(np.int8), dtype=np.int8)
    rest = sparse.diags_array((~mask).astype(np.int8), dtype=np.int8)
    return sparse.csr_array(keep @ chosen.astype(np.int8) + rest @ other.astype(np.int8), dtype=bool)
