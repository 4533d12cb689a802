"""What it costs to compute and to check the checksums of blocks, as a share of each stage.

    python pipelines/bench_checksums.py [--rows 223859] [--width 512] [--rounds 3]

Features of that size, drawn at random, and a concept list as long are put into a temporary workspace. Each
stage runs several times; the figure is the median share of its processor time that goes into checksums, of
what it reads and of what it writes. It ends with JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np

from imageclef import stages
from imageclef.config import Config
from imageclef.data.concept_list import write_concept_list
from imageclef.features.feature_set import FeatureSet
from imageclef.stages.report import Report
from imageclef.storage import checksums
from imageclef.storage.artifacts import Recipe, building
from imageclef.workspace import Workspace

_BLOCK_ROWS, _N_CONCEPTS, _PER_IMAGE = 8192, 2000, 5


def made(folder: Path, n_rows: int, width: int) -> Config:
    """A workspace with features of a training collection, and nothing else."""
    config = Config.model_validate(
        {
            "workspace": folder / "artifacts",
            "device": "cpu",
            "features": ["drawn"],
            "collections": {"train": {"images": folder}},
            "classify": {"top": 100, "c": 0.01, "rule": "global", "refit": False},
        }
    )
    workspace, rng = Workspace(config), np.random.default_rng(0)
    ids = [f"image{row:07d}" for row in range(n_rows)]
    drawn = np.minimum(rng.zipf(1.5, (n_rows, _PER_IMAGE)), _N_CONCEPTS)
    concepts = {
        image_id: tuple(f"C{one:07d}" for one in sorted(set(row)))
        for image_id, row in zip(ids, drawn.tolist(), strict=True)
    }
    with building(workspace.collection_path("train"), Recipe("ingest", {})) as partial:
        (partial / "ids.txt").write_text("".join(f"{image_id}\n" for image_id in ids), encoding="utf-8")
        write_concept_list(partial / "concepts.tsv", concepts)
    with building(workspace.store_path("train"), Recipe("ingest", {})) as partial:
        np.save(partial / "images.npy", np.zeros((n_rows, 1, 1, 3), np.uint8))
        (partial / "ids.txt").write_text("".join(f"{image_id}\n" for image_id in ids), encoding="utf-8")
        (partial / "refused.csv").write_text("id,path,class,reason,digest\n", encoding="utf-8")
        files = "".join(f"{image_id},{image_id}.png,1,1,,\n" for image_id in ids)
        (partial / "images.csv").write_text(f"id,path,width,height,applied,digest\n{files}", encoding="utf-8")
    with building(workspace.features_path("train", "drawn"), Recipe("import-features", {})) as partial:
        rows = FeatureSet.create(partial, ids, width)
        for start in range(0, n_rows, _BLOCK_ROWS):
            rows[start : start + _BLOCK_ROWS] = rng.standard_normal(rows[start : start + _BLOCK_ROWS].shape)
        rows.flush()
    return config


class Clock:
    """Adds up the processor time that checksums take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def checksum(self, data: bytes | memoryview) -> str:
        """In the place of `imageclef.storage.checksums.checksum`."""
        started = time.thread_time()
        found = checksums.xxhash.xxh3_128_hexdigest(data)
        self.seconds += time.thread_time() - started
        return found


def measured(run: Callable[[], object]) -> tuple[float, float]:
    """Processor time of a stage, all threads, and the part of it that checksums took."""
    clock, started = Clock(), time.process_time()
    with patch.object(checksums, "checksum", clock.checksum):
        run()
    return time.process_time() - started, clock.seconds


def main() -> None:
    """Print a table, then JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=223_859)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = made(Path(folder), asked.rows, asked.width)
        runs: dict[str, Callable[[], Report]] = {
            "index": lambda: stages.index(config, force=True),
            "similar --id": lambda: stages.similar(config, ids=["image0000007"]),
            "classify --top 100": lambda: stages.classify(config, "train", force=True),
        }
        rows = {}
        for name, run in runs.items():
            run()
            pairs = [measured(run) for _ in range(asked.rounds)]
            share = statistics.median(part / whole for whole, part in pairs)
            rows[name] = {"seconds": statistics.median(whole for whole, _ in pairs), "share": share}
            print(f"{name:20} {rows[name]['seconds']:8.2f} s   {share:6.2%} of it for checksums")
    megabytes = 4 * asked.rows * asked.width / 1e6
    print(json.dumps({"megabytes": megabytes, "stages": rows}))


if __name__ == "__main__":
    main()
