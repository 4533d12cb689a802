"""A small feature set whose columns concepts follow, in two parts."""

from __future__ import annotations

import numpy as np
import pytest

from imageclef.data.vocabulary import Vocabulary
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled

N, HELD = 300, 80
CONCEPTS = [f"C{n:07}" for n in range(4)]


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    folder = tmp_path_factory.mktemp("features")
    matrix = FeatureSet.create(folder, [f"i{n:03}" for n in range(N)], 6)
    matrix[:] = np.random.default_rng(0).normal(size=(N, 6))
    matrix.flush()
    return FeatureSet.open(folder)


@pytest.fixture(scope="session")
def vocabulary(lists: list[tuple[str, ...]]) -> Vocabulary:
    return Vocabulary.count(lists)


@pytest.fixture(scope="session")
def lists(features: FeatureSet) -> list[tuple[str, ...]]:
    """Each concept follows one column, the later ones with a rarer cut, all with noise."""
    noise = np.random.default_rng(1).normal(scale=0.5, size=(N, 4))
    present = features.features[:][:, :4] + noise > [0.0, 0.5, 1.0, 1.5]
    return [tuple(np.array(CONCEPTS)[row]) for row in present]


@pytest.fixture(scope="session")
def data(lists: list[tuple[str, ...]], vocabulary: Vocabulary) -> Labelled:
    rows = np.random.default_rng(2).permutation(N)
    chosen = [lists[row] for row in rows]
    n_truth = np.array([len(concepts) for concepts in chosen])
    held, groups = np.arange(N) < HELD, np.arange(N) // 2
    return Labelled(rows, held, vocabulary.labels(chosen), n_truth, groups, groups % 5)
