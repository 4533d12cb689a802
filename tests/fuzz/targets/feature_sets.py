"""Feature sets: the matrix and the ids beside it, as one input."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imageclef.features.feature_set import FEATURES, IDS, FeatureSet
from tests.fuzz.target import Case, Target
from tests.fuzz.targets.parts import BESIDE, npy

_WIDEST = 1 << 16


def _seeds() -> list[bytes]:
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    return [
        npy(rows) + BESIDE + b"a1\na2\na3\n",
        npy(np.asfortranarray(rows), (2, 0)) + BESIDE + "\u00e4\na2\n\u00fc 3\n".encode(),
        npy(np.zeros((0, 4), np.float32)) + BESIDE,
    ]


def _attempt(case: Case) -> None:
    matrix, _, ids = case.data.partition(BESIDE)
    folder = case.folder / "set"
    folder.mkdir(exist_ok=True)
    case.file(f"set/{FEATURES}", matrix)
    case.file(f"set/{IDS}", ids)
    features = case.ask(folder, FeatureSet.open, folder)
    if features is None:
        return
    case.require(features.features.shape[0] == len(features.ids), "a row for each id")
    case.require(list(features.rows_of(features.ids)) == list(range(len(features))), "ids are found")
    if features.n_features <= _WIDEST:
        again = _copied(case.folder / "copy", features)
        same = np.array_equal(again.features[:], features.features[:], equal_nan=True)
        case.require(again.ids == features.ids and same, "ids and rows come back")


def _copied(folder: Path, features: FeatureSet) -> FeatureSet:
    rows = FeatureSet.create(folder, features.ids, features.n_features)
    rows[:] = features.features[:]
    rows.flush()
    return FeatureSet.open(folder)


TARGET = Target(
    "feature-sets",
    _seeds,
    _attempt,
    tokens=(
        *(b"'<f4'", b"'>f4'", b"'|O'", b"'|V0'", b"'shape': (3, 4)", b"(-3, -4)", b"True", b"{'descr'"),
        *(b"(0, 99999999999)", b"[('a', '<f4')]", BESIDE),
    ),
    follows=("imageclef", "numpy.lib"),
)
