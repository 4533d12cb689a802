from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from imageclef.features.labelled import Labelled


def test_the_two_parts_are_the_whole_and_share_nothing() -> None:
    labels = csr_array(np.eye(5, 3, dtype=np.uint8))
    rows, held = np.array([7, 3, 9, 1, 4]), np.array([0, 1, 0, 0, 1], bool)
    data = Labelled(rows, held, labels, np.arange(5), np.arange(5) // 2, np.arange(5) % 3)
    assert data.train.rows.tolist() == [7, 9, 1]
    assert data.validation.rows.tolist() == [3, 4]
    assert data.validation.n_truth.tolist() == [1, 4]
    assert data.validation.labels.toarray().tolist() == [[0, 1, 0], [0, 0, 0]]
    assert data.validation.groups.tolist() == [0, 2]
    assert data.validation.folds.tolist() == [1, 1]
    assert data.train.labels.toarray().tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
