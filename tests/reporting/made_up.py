"""Made-up runs, their truth, and whatever may stand beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from imageclef.reporting.inputs import Inputs, read_inputs
from imageclef.runs.editions import EDITIONS
from imageclef.runs.scores import SCORES, Scores

EDITION = EDITIONS["2018"]
Lists = dict[str, tuple[str, ...]]


def write_lists(path: Path, lists: Lists) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{image_id}\t{';'.join(concepts)}\n" for image_id, concepts in lists.items()))
    return path


def write_scores(run: Path, ids: Sequence[str], concepts: Sequence[str], matrix: np.ndarray) -> None:
    """`matrix` is dense; what is NaN is not stored."""
    rows, columns = np.nonzero(np.isfinite(matrix))
    stored = csr_array((matrix[rows, columns].astype(np.float32), (rows, columns)), shape=matrix.shape)
    path = run.with_suffix("") / SCORES
    path.parent.mkdir(parents=True, exist_ok=True)
    Scores(list(ids), tuple(concepts), stored).write(path)


def drawn(
    seed: int, images: int = 40, concepts: int = 6, noise: float = 0.3
) -> tuple[Lists, Lists, np.ndarray]:
    """A truth, a run, and scores (n_images, n_concepts) that the run's answers come from."""
    rng = np.random.default_rng(seed)
    names = [f"C{place:07}" for place in range(concepts)]
    truth = rng.random((images, concepts)) < np.linspace(0.6, 0.15, concepts)
    scores = np.clip(np.where(truth, 0.75, 0.2) + noise * rng.normal(size=truth.shape), 0.001, 0.999)
    return (
        {
            f"i{i:03}": tuple(n for n, has in zip(names, row, strict=True) if has)
            for i, row in enumerate(truth)
        },
        {
            f"i{i:03}": tuple(n for n, s in zip(names, row, strict=True) if s > 0.5)
            for i, row in enumerate(scores)
        },
        scores,
    )


def inputs_of(folder: Path, truth: Lists, *runs: Lists) -> Inputs:
    paths = [write_lists(folder / f"run{place}.csv", run) for place, run in enumerate(runs)]
    return read_inputs(paths, write_lists(folder / "truth.csv", truth), EDITION)
