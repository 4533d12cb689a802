"""Ingest against a bare loop of Pillow: images per second side by side in one run.

    python pipelines/bench_ingest.py FOLDER [--size 64] [--rounds 5] [--workers 2]

The bare loop opens each file, asks for a scaled JPEG of the target size, converts it, resizes it
bilinearly and drops it: no bound, no orientation, no store, and a decoder that crashes ends it. It runs in
as many processes as ingest has, and once more in as many threads. Rounds alternate the three, so that a
machine shared with others slows all of them; the figure is the median of the rounds' ratios. The last line
is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from imageclef.data.collection import find_images
from imageclef.data.store import build_store
from imageclef.images.bulk import cores

_CHUNK = 64
OURS, PROCESSES, THREADS = "build_store", "bare, processes", "bare, threads"


def bare_loop(size: int, paths: Sequence[Path]) -> None:
    """Decode files with as little as Pillow allows."""
    for path in paths:
        with Image.open(path) as image:
            image.draft("RGB", (size, size))
            np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def bare_in_processes(paths: Sequence[Path], size: int, workers: int) -> None:
    """The bare loop in a pool of processes; nothing is sent back."""
    with get_context("fork").Pool(workers) as pool:
        pool.map(partial(bare_loop, size), _chunks(paths), chunksize=1)


def bare_in_threads(paths: Sequence[Path], size: int, workers: int) -> None:
    """The bare loop in a pool of threads."""
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(partial(bare_loop, size), _chunks(paths)))


def ingest(folder: Path, size: int, workers: int) -> None:
    """Everything: the search for files, decoding, the array and the tables."""
    with tempfile.TemporaryDirectory() as out:
        build_store(folder, find_images(folder).images, Path(out), size, "rgb", workers)


def measure(folder: Path, size: int, rounds: int, workers: int) -> dict[str, list[float]]:
    """Images per second of each way in each round, after one round that warms the file cache."""
    paths = [folder / image.path for image in find_images(folder).images]
    ways: dict[str, Callable[[], None]] = {
        OURS: partial(ingest, folder, size, workers),
        PROCESSES: partial(bare_in_processes, paths, size, workers),
        THREADS: partial(bare_in_threads, paths, size, workers),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if number:
                rates[name].append(len(paths) / (time.perf_counter() - started))
    return rates


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=cores())
    given = parser.parse_args()
    rates = measure(given.folder, given.size, given.rounds, given.workers)
    ratios = {
        name: statistics.median(ours / bare for ours, bare in zip(rates[OURS], rates[name], strict=True))
        for name in rates
    }
    print(f"{given.folder} at {given.size}x{given.size}, {given.workers} workers, {given.rounds} rounds")
    print(f"{'':16} {'images/s':>9}  build_store is")
    for name, values in rates.items():
        print(f"{name:16} {statistics.median(values):9.0f}  {ratios[name]:.2f} times it")
    print(
        json.dumps(
            {"images_per_second": rates, "ratio": ratios, "size": given.size, "workers": given.workers}
        )
    )


def _chunks(paths: Sequence[Path]) -> list[Sequence[Path]]:
    return [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]


if __name__ == "__main__":
    main()
