"""The joint solver against scikit-learn's lbfgs, one concept at a time: seconds and objectives in one run.

    python pipelines/bench_logistic.py [--features FOLDER --concepts LIST] [--c 1.0] [--sample 0]

FOLDER is a feature set that `imageclef extract` wrote, LIST the concept list of its images; without them,
features and labels are drawn. Both solve the same problem, standardised columns, C = 1, a free intercept.
`--sample N` times scikit-learn on N concepts, spread over the ranks, and scales its seconds up; 0 takes all.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn import linear_model

from imageclef.concepts.logistic import LogisticRegression
from imageclef.data.concept_list import read_concept_list
from imageclef.data.vocabulary import Vocabulary
from imageclef.features.feature_set import FeatureSet


def drawn(n: int, d: int, n_concepts: int) -> tuple[NDArray[np.float32], sparse.csr_array]:
    """Correlated features, and concepts of Zipf-like prevalence that follow a few directions of them."""
    random = np.random.default_rng(0)
    mixing = random.normal(size=(d, d)) * np.linspace(1, 0.05, d)
    features = (random.normal(size=(n, d)) @ mixing.T / np.sqrt(d)).astype(np.float32)
    prevalence = np.clip(0.3 / np.arange(1, n_concepts + 1) ** 0.7, 2 / n, None)
    columns = []
    for share in prevalence:
        score = features @ random.normal(size=d) + random.normal(size=n) * features.std() * np.sqrt(d)
        columns.append(score >= np.quantile(score, 1 - share))
    return features, sparse.csr_array(np.stack(columns, axis=1))


def stored(folder: Path, concepts: Path) -> tuple[NDArray[np.float32], sparse.csr_array]:
    """Real features, and the labels of all concepts of their images."""
    features, lists = FeatureSet.open(folder), read_concept_list(concepts)
    vocabulary = Vocabulary.count(lists.values())
    return np.asarray(features.features), vocabulary.labels([lists.get(i, ()) for i in features.ids])


def objective(
    x: NDArray[np.float64], y: NDArray[np.bool_], w: NDArray[np.float64], b: float, c: float
) -> float:
    """scikit-learn's: 0.5 |w|^2 + C sum log(1 + exp(-+ margin)), in float64."""
    margins = x @ w + b
    return float(0.5 * w @ w + c * np.logaddexp(0, np.where(y, -margins, margins)).sum())


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
    parser.add_argument(
        "--tol", type=float, default=1e-6, help="scikit-learn's; 1e-4 stops far from the optimum"
    )
    asked = parser.parse_args()
    if asked.features:
        features, labels = stored(asked.features, asked.concepts)
    else:
        features, labels = drawn(asked.n, asked.d, asked.n_concepts)

    started = time.perf_counter()
    ours = LogisticRegression(asked.c).fit(features, labels)
    our_seconds = time.perf_counter() - started

    mean, scale = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    scale[scale == 0] = 1
    x = (features - mean) / scale
    n_concepts = labels.shape[1]
    sample = np.arange(n_concepts)
    if asked.sample:
        sample = np.unique(np.linspace(0, n_concepts - 1, asked.sample).astype(int))
    single = x.astype(np.float32)
    gaps, their_seconds = [], 0.0
    for concept in sample:
        y = labels[:, [concept]].toarray().ravel() != 0
        started = time.perf_counter()
        theirs = linear_model.LogisticRegression(C=asked.c, tol=asked.tol, max_iter=10_000).fit(single, y)
        their_seconds += time.perf_counter() - started
        w = ours.weights[concept] * scale
        b = float(ours.intercepts[concept] + ours.weights[concept] @ mean)
        exact = objective(x, y, theirs.coef_[0].astype(np.float64), float(theirs.intercept_[0]), asked.c)
        gaps.append(objective(x, y, w.astype(np.float64), b, asked.c) / exact - 1)
    their_seconds *= n_concepts / len(sample)
    result = {
        "rows": len(features),
        "features": features.shape[1],
        "concepts": n_concepts,
        "timed_with_scikit_learn": len(sample),
        "seconds": round(our_seconds, 2),
        "seconds_of_scikit_learn": round(their_seconds, 2),
        "times_faster": round(their_seconds / our_seconds, 1),
        "passes": round(float(np.mean(ours.report.passes)), 1),
        "worst_objective_over_theirs": float(np.max(gaps)),
        "mean_objective_over_theirs": float(np.mean(gaps)),
    }
    for key, value in result.items():
        print(f"{key:30} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
