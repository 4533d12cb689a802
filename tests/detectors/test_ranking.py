from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from imageclef.detectors.ranking import descending

floats = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.float32(1e-45)]),
    st.floats(width=32, allow_nan=False),
)


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 4), st.integers(0, 7)), elements=floats))
def test_it_is_the_stable_argsort(scores: np.ndarray) -> None:
    ranked, order = descending(scores)
    expected = np.argsort(-scores, axis=1, kind="stable")
    np.testing.assert_array_equal(order, expected)
    np.testing.assert_array_equal(ranked, np.take_along_axis(scores, expected, axis=1))


def test_a_vector_and_a_transposed_matrix_are_sorted_too() -> None:
    scores = np.random.default_rng(0).normal(size=(5, 9)).astype(np.float32)
    np.testing.assert_array_equal(descending(scores[0])[1], np.argsort(-scores[0], kind="stable"))
    np.testing.assert_array_equal(descending(scores.T)[1], np.argsort(-scores.T, axis=1, kind="stable"))
