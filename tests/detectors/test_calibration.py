from __future__ import annotations

import numpy as np
from scipy import optimize, special
from scipy.sparse import csr_array

from imageclef.detectors.calibration import OFFSET_PRECISION, SLOPE_PRECISION, fit_calibration, plain


def drawn(n: int, slopes: list[float], offsets: list[float]) -> tuple[np.ndarray, csr_array]:
    random = np.random.default_rng(0)
    z = random.normal(scale=2, size=(n, len(slopes))).astype(np.float32)
    return z, csr_array(random.random(z.shape) < special.expit(z * slopes + offsets))


def test_it_is_the_optimum_that_a_plain_minimiser_finds() -> None:
    z, labels = drawn(300, [1.0, 0.3, 3.0], [0.0, -2.0, 4.0])
    found = fit_calibration(z, labels)
    for concept in range(3):
        y = labels.toarray()[:, concept]

        def loss(point: np.ndarray, concept: int = concept, y: np.ndarray = y) -> float:
            t = point[0] * z[:, concept].astype(float) + point[1]
            prior = SLOPE_PRECISION * (point[0] - 1) ** 2 / 2 + OFFSET_PRECISION * point[1] ** 2 / 2
            return float(np.sum(np.logaddexp(0, t) - y * t) + prior)

        best = optimize.minimize(loss, [1.0, 0.0], tol=1e-12).x
        np.testing.assert_allclose([found.slopes[concept], found.offsets[concept]], best, atol=2e-4)


def test_many_images_give_the_slope_and_offset_they_were_drawn_with() -> None:
    found = fit_calibration(*drawn(50_000, [0.5, 2.0], [1.0, -1.0]))
    np.testing.assert_allclose(found.slopes, [0.5, 2.0], atol=0.06)
    np.testing.assert_allclose(found.offsets, [1.0, -1.0], atol=0.06)


def test_a_concept_without_positives_stays_near_its_log_odds() -> None:
    z = np.full((40, 1), -4.0, np.float32)
    found = fit_calibration(z, csr_array((40, 1), dtype=bool))
    assert special.expit(-4.0) / 5 < found.probabilities(z)[0, 0] < special.expit(-4.0)


def test_huge_log_odds_and_a_separable_concept_converge() -> None:
    z = np.linspace(-500, 500, 200, dtype=np.float32)[:, None]
    found = fit_calibration(z, csr_array(z > 0))
    assert 0 < found.slopes[0] < 2
    assert np.isfinite(found.probabilities(z)).all()


def test_more_concepts_than_a_block_change_nothing() -> None:
    z, labels = drawn(100, [1.0] * 70, [0.5] * 70)
    whole = fit_calibration(z, labels)
    alone = [fit_calibration(z[:, [one]], csr_array(labels[:, [one]])) for one in range(70)]
    np.testing.assert_allclose(whole.slopes, [one.slopes[0] for one in alone], rtol=1e-3)
    np.testing.assert_allclose(whole.offsets, [one.offsets[0] for one in alone], rtol=1e-3, atol=1e-3)


def test_the_plain_one_is_the_logistic_function() -> None:
    z = np.array([[-3.0, np.inf], [0.0, -np.inf]], np.float32)
    np.testing.assert_allclose(plain(2).probabilities(z), special.expit(z))
