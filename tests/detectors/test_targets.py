from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight

from imageclef.detectors.targets import ClassWeights, Labels, indicator
from imageclef.errors import ConfigError, DataError


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


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_every_form_of_the_same_labels_is_the_same(kind: type) -> None:
    dense = np.random.default_rng(0).random((9, 4)) < 0.4
    forms = [dense.astype(kind), sparse.csr_matrix(dense.astype(kind)), sparse.coo_array(dense.astype(kind))]
    for form in [*forms, dense.astype(kind).tolist()]:
        np.testing.assert_array_equal(indicator(form).toarray(), dense)
    np.testing.assert_array_equal(indicator(dense[:, 1].astype(kind)).toarray(), dense[:, [1]])


def test_dense_labels_that_are_no_indicators_are_refused() -> None:
    with pytest.raises(DataError, match=r"labels: 2 at \(1,\); expected 0 or 1"):
        indicator(np.array([0, 2, 1]))
    with pytest.raises(DataError, match=r"labels: nan at \(0, 1\); expected 0 or 1"):
        indicator(np.array([[0.0, np.nan]]))
    with pytest.raises(DataError, match=r"labels have shape \(1, 1, 1\); expected \(n_rows,\) or"):
        indicator(np.zeros((1, 1, 1)))


def test_balanced_is_what_scikit_learn_means_by_it() -> None:
    y = np.zeros((50, 3), int)
    y[:7, 0], y[:43, 1] = 1, 1
    weights = ClassWeights.of("balanced", y.mean(axis=0))
    for concept in (0, 1):
        negative, positive = compute_class_weight("balanced", classes=np.array([0, 1]), y=y[:, concept])
        assert weights.negatives[concept] == pytest.approx(negative)
        assert weights.negatives[concept] * weights.ratios[concept] == pytest.approx(positive)
    assert (weights.negatives[2], weights.ratios[2]) == (1, 1)


def test_numbers_are_what_positives_count() -> None:
    shares = np.array([0.1, 0.2])
    for given_weight in (3.0, np.array([3.0, 5.0])):
        weights = ClassWeights.of(given_weight, shares)
        np.testing.assert_array_equal(weights.ratios, np.broadcast_to(given_weight, 2))
        np.testing.assert_array_equal(weights.negatives, [1, 1])
    table = ClassWeights.of({0: 2.0, 1: 3.0}, shares)
    assert (table.negatives.tolist(), table.ratios.tolist()) == ([2, 2], [1.5, 1.5])
    assert ClassWeights.of({0: 2.0}, shares).ratios.tolist() == [0.5, 0.5]
    with pytest.raises(ConfigError, match=r"class weight is \{2: 1\.0\}; expected no classes but 0 and 1"):
        ClassWeights.of({2: 1.0}, shares)
    with pytest.raises(ConfigError, match="class weight is 'heavy'; expected 'balanced' or numbers"):
        ClassWeights.of("heavy", shares)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"class weight is 0\.0; expected finite numbers above 0"):
        ClassWeights.of(0.0, shares)
    with pytest.raises(ConfigError, match=r"class weight has shape \(3,\); expected one number or \(2,\)"):
        ClassWeights.of(np.ones(3), shares)


@given(seed=st.integers(0, 1000), n=st.integers(1, 30), block_rows=st.integers(1, 31))
def test_the_blocks_make_up_the_labels(seed: int, n: int, block_rows: int) -> None:
    random = np.random.default_rng(seed)
    dense = random.random((n, 6)) < 0.3
    counts = random.uniform(0.5, 4, 6)
    asked = random.permutation(6)[: random.integers(1, 7)]
    labels = Labels(indicator(dense), counts, torch.device("cpu"))
    seen = np.zeros((n, len(asked)))
    for number, positives in enumerate(labels.blocks(torch.from_numpy(asked), block_rows)):
        assert (positives.rows < block_rows).all()
        assert positives.extra is not None
        seen[number * block_rows + positives.rows.numpy(), positives.columns.numpy()] += (
            positives.extra.numpy()
        )
    np.testing.assert_allclose(seen, dense[:, asked] * (counts[asked] - 1), rtol=1e-5)


def test_labels_that_all_count_once_carry_no_weights() -> None:
    labels = Labels(indicator(np.eye(3)), np.ones(3), torch.device("cpu"))
    (positives,) = labels.blocks(torch.arange(3), 5)
    assert positives.extra is None
    assert (positives.rows.tolist(), positives.columns.tolist()) == ([0, 1, 2], [0, 1, 2])
