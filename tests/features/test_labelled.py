from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from imageclef.features.labelled import Labelled


def test_the_two_parts_are_the_whole_and_share_nothing() -> None:
    labels = csr_array(np.eye(5, 3, dtype=np.uint8))
    data = Labelled(np.array([7, 3, 9, 1, 4]), np.array([0, 1, 0, 0, 1], bool), labels, np.arange(5))
    assert data.fitted.rows.tolist() == [7, 9, 1]
    assert data.tuned.rows.tolist() == [3, 4]
    assert data.tuned.n_truth.tolist() == [1, 4]
    assert data.tuned.labels.toarray().tolist() == [[0, 1, 0], [0, 0, 0]]
    assert data.fitted.labels.toarray().tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
