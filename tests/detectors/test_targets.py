from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight

from imageclef.detectors.targets import ClassWeights, Labels, indicator
from imageclef.errors import ConfigError


def test_zeros_that_are_stored_and_entries_that_are_stored_twice_are_no_labels_of_their_own() -> None:
    data, columns, ends = np.array([1, 0, 1, 1, 0, 0]), np.array([2, 0, 2, 1, 0, 2]), np.array([0, 3, 4, 6])
    given_labels = sparse.csr_array((data, columns, ends), shape=(3, 3))
    kept = given_labels.data.copy(), given_labels.indices.copy()
    labels = indicator(given_labels)
    np.testing.assert_array_equal(labels.toarray(), [[0, 0, 1], [0, 1, 0], [0, 0, 0]])
    assert labels.nnz == 2
    assert labels.has_canonical_format
    assert np.asarray(labels.sum(axis=0)).tolist() == [0, 1, 1]
    np.testing.assert_array_equal(given_labels.data, kept[0])
    np.testing.assert_array_equal(given_labels.indices, kept[1])


def test_balanced_is_what_scikit_learn_means_by_it() -> None:
    y = np.zeros((50, 3), int)
    y[:7, 0], y[:43, 1] = 1, 1
    weights = ClassWeights.of("balanced", y.mean(axis=0))
    for concept in (0, 1):
        negative, positive = compute_class_weight("balanced", classes=np.array([0, 1]), y=y[:, concept])
        assert weights.negatives[concept] == pytest.approx(negative)
        assert weights.negatives[concept] * weights.ratios[concept] == pytest.approx(positive)
    assert (weights.negatives[2], weights.ratios[2]) == (1, 1)


def test_a_number_is_what_positives_count() -> None:
    weights = ClassWeights.of(3.0, np.array([0.1, 0.2]))
    np.testing.assert_array_equal(weights.ratios, [3, 3])
    np.testing.assert_array_equal(weights.negatives, [1, 1])


@pytest.mark.parametrize("bad", ["heavy", 0.0, -1.0, float("inf"), float("nan")])
def test_a_weight_that_is_none_is_an_error(bad: float) -> None:
    with pytest.raises(ConfigError, match="class weight"):
        ClassWeights.of(bad, np.array([0.1, 0.2]))


@given(seed=st.integers(0, 1000), n=st.integers(1, 30), block_rows=st.integers(1, 31))
def test_the_blocks_make_up_the_labels(seed: int, n: int, block_rows: int) -> None:
    random = np.random.default_rng(seed)
    dense = random.random((n, 6)) < 0.3
    counts = random.uniform(0.5, 4, 6)
    asked = random.permutation(6)[: random.integers(1, 7)]
    labels = Labels(indicator(sparse.csr_array(dense)), counts, torch.device("cpu"))
    seen = np.zeros((n, len(asked)))
    for number, positives in enumerate(labels.blocks(torch.from_numpy(asked), block_rows)):
        assert (positives.rows < block_rows).all()
        assert positives.extra is not None
        seen[number * block_rows + positives.rows.numpy(), positives.columns.numpy()] += (
            positives.extra.numpy()
        )
    np.testing.assert_allclose(seen, dense[:, asked] * (counts[asked] - 1), rtol=1e-5)


def test_labels_that_all_count_once_carry_no_weights() -> None:
    labels = Labels(indicator(sparse.csr_array(np.eye(3))), np.ones(3), torch.device("cpu"))
    (positives,) = labels.blocks(torch.arange(3), 5)
    assert positives.extra is None
    assert (positives.rows.tolist(), positives.columns.tolist()) == ([0, 1, 2], [0, 1, 2])
