"""Training, extraction, solver and search beside another busy process, by how the threads of OpenMP wait.

Each cell is measured in a process of its own, on drawn data: images a second of the AAE preset `small`, fits
of 100 concepts on 4,000 x 256 features, exact queries among 20,000 x 256 rows; the median of the rounds, and
its ratio to the quiet machine with the default of OpenMP.

    python pipelines/bench_threads.py --images 512 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SETTINGS = {
    "OpenMP's default": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "waiting passively": {"OMP_WAIT_POLICY": "passive"},
}
DECIDING = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def measure(n_images: int) -> dict[str, float]:
    """Images a second of training and extraction, in this process."""
    import time

    import numpy as np
    import torch
    from scipy.sparse import csr_array

    from imageclef.detectors.logistic import LogisticRegression
    from imageclef.features.extract import extract
    from imageclef.learners.base import Training
    from imageclef.learners.images import DeviceImages, TrainingImages
    from imageclef.learners.settings import choose
    from imageclef.learners.table import create
    from imageclef.retrieval.index import Index

    choice = choose({"name": "aae", "preset": "small", "epochs": 1})
    size = choice.settings.image_size
    drawn = np.random.default_rng(0).integers(0, 256, (n_images, size, size, 3), dtype=np.uint8)
    images = DeviceImages(torch.from_numpy(drawn).permute(0, 3, 1, 2))
    learner = create(choice, 0)
    warm = TrainingImages(images, np.arange(min(64, n_images)))
    learner.fit(warm, Training())
    started = time.perf_counter()
    learner.fit(TrainingImages(images), Training())
    trained = time.perf_counter()
    into = np.zeros((n_images, learner.n_features), np.float32)
    extract(
        learner,
        images,
        into,
        output="codes",
        precision="fp32",
        batch_size=64,
        advance=lambda n: None,
    )
    extracted = time.perf_counter()
    rng = np.random.default_rng(0)
    features, labels = rng.standard_normal((4000, 256), np.float32), rng.random((4000, 100)) < 0.1
    begun = time.perf_counter()
    LogisticRegression(0.01).fit(features, csr_array(labels))
    solved = time.perf_counter()
    index = Index.of(rng.standard_normal((20_000, 256), np.float32), list(map(str, range(20_000))), "l2")
    searched = time.perf_counter()
    index.search(features[:1000], 10)
    ended = time.perf_counter()
    return {
        "training, images/s": n_images / (trained - started),
        "extraction, images/s": n_images / (extracted - trained),
        "solver, concepts/s": 100 / (solved - begun),
        "search, queries/s": 1000 / (ended - searched),
    }


@contextmanager
def another_process(busy: bool) -> Iterator[None]:
    """Keep one core busy meanwhile."""
    if not busy:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measured_apart(n_images: int, settings: dict[str, str]) -> dict[str, float]:
    """`measure` in a process with these settings of OpenMP and no others."""
    environment = {key: value for key, value in os.environ.items() if key not in DECIDING}
    done = subprocess.run(
        [sys.executable, __file__, "--measure", str(n_images)],
        env={**environment, **settings},
        check=True,
        stdout=subprocess.PIPE,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure every cell in turn, round by round, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    cells: dict[tuple[str, bool, str], list[float]] = {}
    for _ in range(arguments.rounds):
        for name, settings in SETTINGS.items():
            for busy in (False, True):
                with another_process(busy):
                    for work, rate in measured_apart(arguments.images, settings).items():
                        cells.setdefault((name, busy, work), []).append(rate)
    rates = {cell: statistics.median(found) for cell, found in cells.items()}
    print("| threads | work | quiet | busy | quiet, ratio | busy, ratio |")
    print("|---|---|---|---|---|---|")
    for name in SETTINGS:
        for work in dict.fromkeys(work for _, _, work in rates):
            quiet, busy = rates[name, False, work], rates[name, True, work]
            base = rates["OpenMP's default", False, work]
            print(f"| {name} | {work} | {quiet:.1f} | {busy:.1f} | {quiet / base:.2f} | {busy / base:.2f} |")


if __name__ == "__main__":
    main()
