from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.special import expit

from imageclef.detectors.nearest_neighbours import NearestNeighbours
from imageclef.detectors.task import Rows

VECTORS = np.array([[1, 0], [1, 0.1], [0, 1], [-1, 0]], np.float32)
LABELS = csr_array(np.array([[1, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 0]], np.uint8))


def test_log_odds_are_smoothed_shares_of_the_vote() -> None:
    detector = NearestNeighbours(("a", "b", "c"), VECTORS, LABELS, 2)
    found = expit(detector.log_odds(Rows(["x"], np.array([[2.0, 0.1]], np.float32))))[0]
    # Both neighbours have a, none has b; of nearly equal weight one has c.
    np.testing.assert_allclose(found[:2], [(2 + 0.5) / 3, 0.5 / 3], rtol=1e-6)
    assert abs(found[2] - (1 + 0.25) / 3) < 2e-3


def test_a_concept_that_nobody_or_everybody_has_stays_finite() -> None:
    labels = csr_array(np.array([[1, 0]] * 4, np.uint8))
    detector = NearestNeighbours(("all", "none"), VECTORS, labels, 3)
    found = detector.log_odds(Rows(["x"], VECTORS[:1]))[0]
    assert np.isfinite(found).all()
    assert found[0] > 0 > found[1]
