"""The joint solver against scikit-learn's lbfgs, one concept at a time: seconds and objectives in one run.

    python pipelines/bench_logistic.py [--features FOLDER --concepts LIST] [--c 1.0] [--sample 0]
    python pipelines/bench_logistic.py --preset large        50,000 x 512, 500 concepts, 12 timed
    python pipelines/bench_logistic.py --preset mapped       223,859 x 512 from a file, 500 and 2,500 concepts

FOLDER is a feature set that `imageclef extract` wrote, LIST the concept list of its images; without them,
features and labels are drawn. Both solve the same problem, standardised columns, C = 1, a free intercept.
`--sample N` times scikit-learn on N concepts, spread over the ranks, and scales its seconds up; 0 takes all.
`--tolerance` and `--tol`, the joint solver's and scikit-learn's, take several values: each of ours is timed
before and after scikit-learn, so that a drift of the machine shows, and each of theirs is set against
the fastest of ours whose mean gap is not above its own. Gaps are those of the objective to its optimum, which
Newton's method finds in float64. `--preset mapped` runs ours only, each fit in a process of its own, whose
memory is what it adds without the pages of the mapped file. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse, special
from sklearn import linear_model

from imageclef.data.concept_list import read_concept_list
from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.logistic import LogisticRegression
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


def passes_of(model: LogisticRegression) -> dict[str, float]:
    """How often a fit read the rows: for a concept on average, at most, and in all."""
    report = model.report
    return {
        "passes_mean": round(float(report.passes[~report.degenerate].mean()), 1),
        "passes_most": int(report.passes.max()),
        "passes_total": int(report.total_passes),
        "not_converged": int((~report.converged).sum()),
    }


def gaps_of(found: list[float], best: list[float]) -> dict[str, float]:
    """Relative gaps of objectives to the best there are."""
    gaps = np.array(found) / np.array(best) - 1
    return {"mean_gap": float(gaps.mean()), "worst_gap": float(gaps.max())}


def compare(
    features: NDArray[np.float32], labels: sparse.csr_array, asked: argparse.Namespace
) -> dict[str, object]:
    """Fit all concepts jointly and some of them one by one, and look at both objectives."""
    ours = [fitted(features, labels, asked.c, tolerance) for tolerance in asked.tolerance]
    mean, scale = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    scale[scale == 0] = 1
    x = np.hstack([(features - mean) / scale, np.ones((len(features), 1))])
    single = x[:, :-1].astype(np.float32)
    possible = np.flatnonzero(~ours[0][0].report.degenerate)
    picks = np.linspace(0, len(possible) - 1, asked.sample or len(possible)).astype(int)
    sample = possible[np.unique(picks)]
    best: list[float] = []
    reached: list[list[float]] = [[] for _ in ours]
    theirs: list[list[float]] = [[] for _ in asked.tol]
    seconds = np.zeros(len(asked.tol))
    for concept in sample:
        plain = Plain(x, labels[:, [concept]].toarray().ravel() != 0, asked.c)
        for number, tol in enumerate(asked.tol):
            started = time.perf_counter()
            one = linear_model.LogisticRegression(C=asked.c, tol=tol, max_iter=10_000).fit(single, plain.y)
            seconds[number] += time.perf_counter() - started
            theirs[number].append(plain.objective(np.append(one.coef_[0], one.intercept_).astype(np.float64)))
        points = []
        for number, (model, _) in enumerate(ours):
            shifted = model.intercepts[concept] + model.weights[concept] @ mean
            points.append(np.append(model.weights[concept] * scale, shifted))
            reached[number].append(plain.objective(points[-1]))
        best.append(plain.optimum(points[int(np.argmin(asked.tolerance))]))
    again = [fitted(features, labels, asked.c, tolerance)[1] for tolerance in asked.tolerance]
    rows_of_ours = [
        {
            "tolerance": tolerance,
            "seconds": round((before + after) / 2, 2),
            "seconds_before": round(before, 2),
            "seconds_after": round(after, 2),
            **passes_of(model),
            **gaps_of(objectives, best),
        }
        for tolerance, (model, before), after, objectives in zip(
            asked.tolerance, ours, again, reached, strict=True
        )
    ]
    rows_of_theirs = [
        {"tol": tol, "seconds": round(float(took) * len(possible) / len(sample), 1), **gaps_of(found, best)}
        for tol, took, found in zip(asked.tol, seconds, theirs, strict=True)
    ]
    return {
        "rows": len(features),
        "features": features.shape[1],
        "concepts": labels.shape[1],
        "c": asked.c,
        "timed_with_scikit_learn": len(sample),
        "ours": rows_of_ours,
        "scikit_learn": rows_of_theirs,
        "times_faster": [pair(row, rows_of_ours) for row in rows_of_theirs],
    }


def pair(theirs: dict[str, float], ours: list[dict[str, float]]) -> dict[str, float | None]:
    """How much faster than scikit-learn the fastest of ours is that comes as near to the optimum."""
    as_good = [row for row in ours if row["mean_gap"] <= theirs["mean_gap"]]
    if not as_good:
        return {"tol": theirs["tol"], "tolerance": None, "times_faster": None}
    fastest = min(as_good, key=lambda row: row["seconds"])
    times = round(theirs["seconds"] / fastest["seconds"], 1)
    return {"tol": theirs["tol"], "tolerance": fastest["tolerance"], "times_faster": times}


def from_a_map(folder: Path, n_concepts: int, c: float, tolerance: float) -> dict[str, float]:
    """Fit the first concepts of a mapped problem, and watch the memory that is not the map's."""
    features = np.load(folder / "features.npy", mmap_mode="r")
    labels = sparse.load_npz(folder / "labels.npz")[:, :n_concepts]
    most, done = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, anonymous_bytes())

    before, watcher = anonymous_bytes(), threading.Thread(target=watch)
    watcher.start()
    try:
        model, seconds = fitted(features, labels, c, tolerance)
    finally:
        done.set()
        watcher.join()
    return {
        "rows": len(features),
        "features": features.shape[1],
        "concepts": n_concepts,
        "tolerance": tolerance,
        "seconds": round(seconds, 1),
        **passes_of(model),
        "peak_memory_added_mb": round((most - before) / 2**20),
    }


def anonymous_bytes() -> int:
    """Resident memory of this process that no file stands behind."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


def mapped(asked: argparse.Namespace) -> dict[str, object]:
    """Draw a large problem into a file, and fit it from there."""
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        features, labels = drawn(asked.n, asked.d, max(asked.n_concepts))
        np.save(folder / "features.npy", features)
        sparse.save_npz(folder / "labels.npz", labels, compressed=False)
        del features, labels
        fits = [
            one_process(from_a_map, folder, n_concepts, asked.c, tolerance)
            for n_concepts in asked.n_concepts
            for tolerance in asked.tolerance
        ]
    return {"from_a_memory_map": fits}


def one_process(function: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


TOLERANCES = [1e-3, 1e-4, 1e-5, 1e-6, 1e-7]
PRESETS: dict[str, dict[str, object]] = {
    "small": {"n": 10_000, "d": 256, "n_concepts": [100], "sample": 0, "tolerance": TOLERANCES},
    "large": {"n": 50_000, "d": 512, "n_concepts": [500], "sample": 12, "tolerance": TOLERANCES},
    "mapped": {"n": 223_859, "d": 512, "n_concepts": [500, 2500], "tolerance": [1e-7]},
}


def arguments() -> argparse.Namespace:
    """What was asked on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--features", type=Path)
    parser.add_argument("--concepts", type=Path)
    parser.add_argument("--n", type=int, help="rows that are drawn")
    parser.add_argument("--d", type=int)
    parser.add_argument("--n-concepts", type=int, nargs="+")
    parser.add_argument("--c", type=float, default=1.0)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--tolerance", type=float, nargs="+")
    parser.add_argument("--tol", type=float, nargs="+", default=[1e-4, 1e-6])
    parser.add_argument("--folder", type=Path, help="where `mapped` makes its temporary file")
    asked = parser.parse_args()
    if (asked.features is None) != (asked.concepts is None):
        parser.error("--features and --concepts belong together")
    for name, value in PRESETS[asked.preset].items():
        if getattr(asked, name) is None:
            setattr(asked, name, value)
    return asked


def main() -> None:
    """Measure and print."""
    asked = arguments()
    if asked.preset == "mapped":
        result = mapped(asked)
    elif asked.features:
        result = compare(*stored(asked.features, asked.concepts), asked)
    else:
        result = compare(*drawn(asked.n, asked.d, max(asked.n_concepts)), asked)
    for key, value in result.items():
        if isinstance(value, list):
            print(f"{key}:", *(f"  {row}" for row in value), sep="\n")
        else:
            print(f"{key:30} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
