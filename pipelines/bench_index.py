"""The similarity index at size: seconds, memory and recall of each kind; exact search against a product.

    python pipelines/bench_index.py [--n 1000000] [--d 512] [--kinds flat ivf hnsw ivfpq] [--folder FOLDER]

Rows are random walks of 1,000 steps in d dimensions, float32, drawn into a file. For each kind, in a process
of its own: build, add 1,000, remove 1,000, search 1,000 queries for 10; recall is against exact search.
Then 100,000 rows: exact search against a product of torch with its top-k, in one run, in turns. Memory is
what the process adds without the pages of mapped files. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imageclef.errors import ConfigError
from imageclef.retrieval.index import Index, IndexedImage
from imageclef.retrieval.index_artifact import About, open_index
from imageclef.retrieval.index_changes import Change, build_index, change_index
from imageclef.retrieval.kinds import Kind

_STEPS, _N_QUERIES, _N_CHANGED, _K = 1000, 1000, 1000, 10


def draw(path: Path, n: int, d: int) -> NDArray[np.float32]:
    """Random walks, one below the other, in a new file."""
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, d))
    random = np.random.default_rng(0)
    for start in range(0, n, _STEPS):
        size = min(_STEPS, n - start)
        steps = random.standard_normal((size, d), dtype=np.float32) * np.float32(0.1)
        steps[0] = random.standard_normal(d, dtype=np.float32)
        rows[start : start + size] = np.cumsum(steps, axis=0)
    rows.flush()
    return rows


def queries_near(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows from all over, moved a little."""
    random = np.random.default_rng(1)
    chosen = np.sort(random.choice(len(rows), _N_QUERIES, replace=False))
    noise = random.standard_normal((_N_QUERIES, rows.shape[1]), dtype=np.float32)
    return np.asarray(rows[chosen], np.float32) + np.float32(0.05) * noise


def anonymous_mb() -> float:
    """Memory of this process that is not a mapped file, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("RssAnon"))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and its seconds."""
    started = time.perf_counter()
    result = work()
    return result, round(time.perf_counter() - started, 2)


def lived(path: Path, kind: Kind, folder: Path, exact: Path) -> dict[str, Any]:
    """The life of an index; `exact` holds the right answer, written by the kind `flat`."""
    rows = np.load(path, mmap_mode="r")
    n = len(rows) - _N_CHANGED
    ids = [str(row) for row in range(len(rows))]
    before = anonymous_mb()
    images = [IndexedImage("train", image_id, f"{image_id}.png") for image_id in ids]
    about = About(
        kind=kind,
        metric="l2",
        n_images=0,
        n_features=rows.shape[1],
        features="random walks",
        features_label="random walks",
        sources={},
        asked=0.95,
    )
    _, build = timed(lambda: build_index(folder, rows[:n], images[:n], about))
    figures: dict[str, Any] = {"kind": kind, "build_and_save_s": build}

    def add() -> None:
        change_index(folder, lambda _: Change(features=rows[n:], images=images[n:]))

    def remove() -> None:
        change_index(folder, lambda one: Change(keep=np.arange(_N_CHANGED, len(one.index))))

    for name, change in (("add", add), ("remove", remove)):
        try:
            figures[f"{name}_s"] = timed(change)[1]
        except ConfigError:
            figures[f"{name}_s"] = None
    index = open_index(folder).index
    queries = queries_near(rows[_N_CHANGED:])
    index.search(queries[:8], _K)
    (_, found), figures["search_s"] = timed(lambda: index.search(queries, _K))
    named = np.array([[int(index.images[row].image_id) for row in line] for line in found])
    if kind == "flat":
        np.save(exact, named)
    right = np.load(exact)
    # Where nothing could be removed, rows of the first thousand may be found: they do not count.
    hits = sum(len(np.intersect1d(one, other)) for one, other in zip(named, right, strict=True))
    figures["recall_at_10"] = round(hits / right.size, 4)
    figures["recall_measured_when_built"] = None if index.recall is None else round(index.recall.measured, 4)
    figures["memory_mb"] = round(anonymous_mb() - before)
    figures["disk_mb"] = round(sum(one.stat().st_size for one in folder.iterdir()) / 1e6)
    return figures


def against_a_bare_product(d: int, rounds: int = 5) -> dict[str, Any]:
    """Exact search over 100,000 rows, and torch's product and top-k: queries per second, in turns."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((100_000, d), dtype=np.float32)
    queries = random.standard_normal((_N_QUERIES, d), dtype=np.float32)
    index = Index.of(rows, [str(row) for row in range(len(rows))], "l2")
    x, q = torch.from_numpy(rows), torch.from_numpy(queries)
    squares = x.square().sum(1)

    def bare() -> None:
        for block in q.split(128):
            torch.topk(torch.addmm(squares, block, x.T, alpha=-2), 50, largest=False)

    rates: dict[str, list[float]] = {"index": [], "bare": []}
    for _ in range(rounds + 1):
        rates["index"].append(_N_QUERIES / timed(lambda: index.search(queries, 50))[1])
        rates["bare"].append(_N_QUERIES / timed(bare)[1])
    ratios = [ours / theirs for ours, theirs in zip(rates["index"][1:], rates["bare"][1:], strict=True)]
    return {
        "queries_per_second": round(float(np.median(rates["index"][1:]))),
        "bare_queries_per_second": round(float(np.median(rates["bare"][1:]))),
        "ratio": round(float(np.median(ratios)), 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--kinds", nargs="+", default=["flat", "ivf", "hnsw", "ivfpq"])
    parser.add_argument("--folder", type=Path, help="where temporary files are made")
    asked = parser.parse_args()
    result: dict[str, Any] = {"rows": asked.n, "d": asked.d, "kinds": []}
    result["exact_over_100000"] = against_a_bare_product(asked.d)
    print(result["exact_over_100000"], flush=True)
    with tempfile.TemporaryDirectory(dir=asked.folder) as made:
        path = Path(made) / "rows.npy"
        draw(path, asked.n, asked.d)
        for kind in asked.kinds:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                one = pool.apply(lived, (path, kind, Path(made) / kind, Path(made) / "exact.npy"))
            result["kinds"].append(one)
            print(one, flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
