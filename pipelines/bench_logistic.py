"""The joint solver against scikit-learn's lbfgs, one concept at a time: seconds and objectives in one run.

    python pipelines/bench_logistic.py [--features FOLDER --concepts LIST] [--c 1.0] [--sample 0]

FOLDER is a feature set that `imageclef extract` wrote, LIST the concept list of its images; without them,
features and labels are drawn. Both solve the same problem, standardised columns, C = 1, a free intercept.
`--sample N` times scikit-learn on N concepts, spread over the ranks, and scales its seconds up; 0 takes all.
The joint solver is timed before and after scikit-learn, so that a drift of the machine shows. Gaps are those
of the objective to its optimum, which Newton's method finds in float64. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse, special
from sklearn import linear_model

from imageclef.concepts.logistic import LogisticRegression
from imageclef.data.concept_list import read_concept_list
from imageclef.data.vocabulary import Vocabulary
from imageclef.features.feature_set import FeatureSet

Float64 = NDArray[np.float64]


def drawn(n: int, d: int, n_concepts: int) -> tuple[NDArray[np.float32], sparse.csr_array]:
    """Skewed, correlated features; concepts as frequent as ROCO's, that follow a few directions of them."""
    random = np.random.default_rng(0)
    latent = random.standard_normal((n, 64), dtype=np.float32)
    mixing = random.normal(size=(64, d)) * np.arange(1, 65)[:, None] ** -0.5 / 4
    features = np.maximum(latent @ mixing.astype(np.float32) + np.float32(0.3), 0)
    features += np.float32(0.2) * random.standard_normal((n, d), dtype=np.float32)
    ranks = np.arange(1, n_concepts + 1)
    rows, columns = [], []
    for rank, share in zip(ranks, np.maximum(0.9 * (ranks + 4.0) ** -0.93, 2 / n), strict=True):
        direction = random.standard_normal(64, dtype=np.float32)
        score = latent @ (direction * random.uniform(0.1, 0.4)) + random.logistic(size=n)
        positives = np.flatnonzero(score >= np.quantile(score, 1 - share))
        rows.append(positives)
        columns.append(np.full(len(positives), rank - 1))
    where = np.concatenate(rows), np.concatenate(columns)
    return features, sparse.csr_array((np.ones(len(where[0]), bool), where), shape=(n, n_concepts))


def stored(folder: Path, concepts: Path) -> tuple[NDArray[np.float32], sparse.csr_array]:
    """Real features, and the labels of all concepts of their images."""
    features, lists = FeatureSet.open(folder), read_concept_list(concepts)
    vocabulary = Vocabulary.count(lists.values())
    return features.features, vocabulary.labels([lists.get(i, ()) for i in features.ids])


@dataclass(frozen=True)
class Plain:
    """One concept in float64, without tricks: x (n, d) standardised, with a column of ones; y (n,) bool."""

    x: Float64
    y: NDArray[np.bool_]
    c: float

    def objective(self, w: Float64) -> float:
        """scikit-learn's: 0.5 |w|^2 + C sum log(1 + exp(-+ margin)), the last of w being the intercept."""
        margins = self.x @ w
        losses = np.logaddexp(0, np.where(self.y, -margins, margins))
        return float(0.5 * w[:-1] @ w[:-1] + self.c * losses.sum())

    def optimum(self, w: Float64) -> float:
        """The least objective, by Newton's method from a point nearby."""
        value, penalised = self.objective(w), np.append(np.ones(len(w) - 1), 0.0)
        for _ in range(50):
            p = special.expit(self.x @ w)
            gradient = self.c * (self.x.T @ (p - self.y)) + penalised * w
            weights = self.c * p * (1 - p)
            heavy = weights > weights.max() * 1e-12
            rows = self.x[heavy] * np.sqrt(weights[heavy])[:, None]
            hessian = rows.T @ rows + np.diag(penalised + 1e-12)
            step = linalg.solve(hessian, -gradient, assume_a="pos")
            size, lower = 1.0, self.objective(w + step)
            while lower > value and size > 1e-6:
                size /= 2
                lower = self.objective(w + size * step)
            if value - lower < 1e-11 * value:
                return min(value, lower)
            w, value = w + size * step, lower
        return value


def fitted(
    features: NDArray[np.float32], labels: sparse.csr_array, c: float, tolerance: float
) -> tuple[LogisticRegression, float]:
    """The joint solver's answer and its seconds."""
    started = time.perf_counter()
    model = LogisticRegression(c, tolerance).fit(features, labels)
    return model, time.perf_counter() - started


def compare(
    features: NDArray[np.float32], labels: sparse.csr_array, asked: argparse.Namespace
) -> dict[str, float]:
    """Fit all concepts jointly and some of them one by one, and look at both objectives."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours, before = fitted(features, labels, asked.c, asked.tolerance)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    mean, scale = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    scale[scale == 0] = 1
    x = np.hstack([(features - mean) / scale, np.ones((len(features), 1))])
    single = x[:, :-1].astype(np.float32)
    possible = np.flatnonzero(~ours.report.degenerate)
    picks = np.linspace(0, len(possible) - 1, asked.sample or len(possible)).astype(int)
    sample = possible[np.unique(picks)]
    theirs_seconds, ours_gaps, theirs_gaps = 0.0, [], []
    for concept in sample:
        plain = Plain(x, labels[:, [concept]].toarray().ravel() != 0, asked.c)
        started = time.perf_counter()
        theirs = linear_model.LogisticRegression(C=asked.c, tol=asked.tol, max_iter=10_000).fit(
            single, plain.y
        )
        theirs_seconds += time.perf_counter() - started
        shifted = ours.intercepts[concept] + ours.weights[concept] @ mean
        mine = np.append(ours.weights[concept] * scale, shifted)
        best = plain.optimum(mine)
        ours_gaps.append(plain.objective(mine) / best - 1)
        other = np.append(theirs.coef_[0], theirs.intercept_).astype(np.float64)
        theirs_gaps.append(plain.objective(other) / best - 1)
    _, after = fitted(features, labels, asked.c, asked.tolerance)
    theirs_seconds *= len(possible) / len(sample)
    return {
        "rows": len(features),
        "features": features.shape[1],
        "concepts": labels.shape[1],
        "timed_with_scikit_learn": len(sample),
        "seconds": round((before + after) / 2, 2),
        "seconds_before": round(before, 2),
        "seconds_after": round(after, 2),
        "seconds_of_scikit_learn": round(theirs_seconds, 2),
        "times_faster": round(theirs_seconds / (before + after) * 2, 1),
        "passes_mean": round(float(np.mean(ours.report.passes)), 1),
        "passes_most": int(ours.report.passes.max()),
        "passes_total": int(ours.report.total_passes),
        "not_converged": int((~ours.report.converged).sum()),
        "mean_gap": float(np.mean(ours_gaps)),
        "worst_gap": float(np.max(ours_gaps)),
        "mean_gap_of_scikit_learn": float(np.mean(theirs_gaps)),
        "worst_gap_of_scikit_learn": float(np.max(theirs_gaps)),
        "peak_memory_added_mb": round(memory / 1024),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--features", type=Path)
    parser.add_argument("--concepts", type=Path)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--d", type=int, default=256)
    parser.add_argument("--n-concepts", type=int, default=100)
    parser.add_argument("--c", type=float, default=1.0)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--tolerance", type=float, default=1e-7, help="the joint solver's")
    parser.add_argument(
        "--tol", type=float, default=1e-6, help="scikit-learn's; its 1e-4 stops far from the optimum"
    )
    asked = parser.parse_args()
    if (asked.features is None) != (asked.concepts is None):
        parser.error("--features and --concepts belong together")
    if asked.features:
        features, labels = stored(asked.features, asked.concepts)
    else:
        features, labels = drawn(asked.n, asked.d, asked.n_concepts)
    result = compare(features, labels, asked)
    for key, value in result.items():
        print(f"{key:30} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
