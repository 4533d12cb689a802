"""Decision rules: the seconds that tuning takes, that its steps are exact, and what it gains unseen.

    python pipelines/bench_rules.py [--tune-list LIST --test-list LIST] [--n 10000] [--n-concepts 500]

Scores are those of a simulated scorer of known quality. For an image with a concept its log-odds are the
logit of the concept's frequency plus a normal variate of mean q^2 / 2 and variance q^2, without it of mean
-q^2 / 2: calibrated, with an area under the ROC curve of Phi(q / sqrt(2)). Lists of images with their
concepts are drawn, or read: then rules are tuned on the first and scored on the second. It ends with JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special, stats

from imageclef.data.concept_list import read_concept_list
from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.calibration import fit_calibration
from imageclef.detectors.rules import Evidence, Nearest, RuleName, decide, tune
from imageclef.detectors.thresholds import apply_thresholds, global_threshold, mean_image_f1

SEEDS = range(5)


def drawn_labels(n: int, n_concepts: int) -> sparse.csr_array:
    """Concepts as frequent as ROCO's."""
    shares = 0.9 * (np.arange(1, n_concepts + 1) + 4.0) ** -0.93
    return sparse.csr_array(np.random.default_rng(0).random((n, n_concepts)) < shares)


def scored(labels: sparse.csr_array, shares: NDArray[np.float64], q: float, seed: int) -> NDArray[np.float32]:
    """Log-odds of the simulated scorer, (n_images, n_concepts)."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal(labels.shape, dtype=np.float32) * q
    sides = np.where(labels.toarray() != 0, q * q / 2, -q * q / 2)
    return (special.logit(np.clip(shares, 1e-6, 1 - 1e-6)) + noise + sides).astype(np.float32)


def seconds(labels: sparse.csr_array, q: float) -> dict[str, float]:
    """What tuning and deciding take, without and with the amendments, and the calibration before them."""
    shares = np.asarray(labels.mean(axis=0)).ravel()
    log_odds, n_truth = scored(labels, shares, q, 0), np.diff(labels.indptr)
    near = Nearest(labels[::-1], np.random.default_rng(1).random(labels.shape[0], np.float32))
    evidence = Evidence(fit_calibration(log_odds, labels).probabilities(log_odds), near)
    taken = {"calibration": _least(lambda: fit_calibration(log_odds, labels))}
    for name in get_args(RuleName):
        for post_processed in (False, True):
            taken[name + ", post_processed" * post_processed] = _least(
                lambda name=name, post_processed=post_processed: decide(
                    tune(name, evidence, labels, n_truth, post_processed), evidence
                )
            )
    return taken


def _least(work: Callable[[], object]) -> float:
    """The least of three rounds: what the machine takes when others let it."""
    rounds = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        rounds.append(time.perf_counter() - started)
    return min(rounds)


def exactness(labels: sparse.csr_array, q: float) -> dict[str, float]:
    """The global cut against a brute force over all cut points, on a corner of the problem."""
    corner = sparse.csr_array(labels[:300, :40])
    shares = np.asarray(corner.mean(axis=0)).ravel()
    scores = special.expit(scored(corner, shares, q, 0))
    n_truth = np.diff(corner.indptr)
    _, score = global_threshold(scores, corner, n_truth)
    tried = [mean_image_f1(apply_thresholds(scores, each), corner, n_truth) for each in np.unique(scores)]
    ascent = tune("per-concept", Evidence(scores), corner, n_truth, post_process=False)
    return {
        "cuts_tried": len(tried),
        "exact_score": score,
        "brute_force_score": max(tried),
        "coordinate_ascent_score": mean_image_f1(decide(ascent, Evidence(scores)), corner, n_truth),
    }


def unseen(lists: Sequence[Path], q: float, n_concepts: int) -> dict[str, dict[str, float]]:
    """Scores on the second list of rules tuned on the first: mean over seeds, and deviation of the gains."""
    tuning, tested = (
        [concepts for concepts in read_concept_list(path).values() if concepts] for path in lists
    )
    vocabulary = Vocabulary.count(tuning).window(n_concepts)
    labels = [vocabulary.labels(part) for part in (tuning, tested)]
    n_truth = [np.array([len(concepts) for concepts in part]) for part in (tuning, tested)]
    shares = np.array(vocabulary.counts) / len(tuning)
    found: dict[str, list[float]] = {}
    for seed in SEEDS:
        z = [scored(part, shares, q, 2 * seed + place) for place, part in enumerate(labels)]
        calibration = fit_calibration(z[0], labels[0])
        plain, calibrated = (
            [Evidence(look(part)) for part in z] for look in (special.expit, calibration.probabilities)
        )
        ways = {
            **{name: (name, plain, False) for name in ("global", "per-concept")},
            **{f"{name}, refined": (name, calibrated, True) for name in get_args(RuleName)},
        }
        for way, (name, evidence, post_processed) in ways.items():
            rule = tune(name, evidence[0], labels[0], n_truth[0], post_processed)
            found.setdefault(way, []).append(mean_image_f1(decide(rule, evidence[1]), labels[1], n_truth[1]))
    base = np.array(found["global"])
    return {
        way: {
            "score": float(np.mean(scores)),
            "gain": float(np.mean(scores - base)),
            "deviation": float(np.std(scores - base, ddof=1)),
        }
        for way, scores in found.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tune-list", type=Path)
    parser.add_argument("--test-list", type=Path)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--n-concepts", type=int, default=500)
    parser.add_argument("--quality", type=float, default=2.0)
    asked = parser.parse_args()
    if (asked.tune_list is None) != (asked.test_list is None):
        parser.error("--tune-list and --test-list belong together")
    labels = drawn_labels(asked.n, asked.n_concepts)
    result: dict[str, object] = {
        "images": asked.n,
        "concepts": asked.n_concepts,
        "area_under_roc": round(float(stats.norm.cdf(asked.quality / np.sqrt(2))), 3),
        "seconds": {key: round(value, 3) for key, value in seconds(labels, asked.quality).items()},
        "exactness": exactness(labels, asked.quality),
    }
    if asked.tune_list is not None:
        result["unseen"] = unseen((asked.tune_list, asked.test_list), asked.quality, asked.n_concepts)
    for key, value in result.items():
        print(f"{key:16} {value}" if not isinstance(value, dict) else key)
        if isinstance(value, dict):
            for name, figure in value.items():
                print(f"    {name:24} {figure}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
