from __future__ import annotations

import numpy as np
import pytest

from imageclef.detectors.linear import select
from imageclef.detectors.logistic import LogisticRegression, regularisation_path
from imageclef.errors import ConfigError
from tests.detectors.problems import drawn, probabilities

CHOICE = np.array([2, 0, 1, 1, 0, 2, 2, 0])


def test_each_concept_comes_from_its_own_model() -> None:
    features, labels = drawn()
    cs = [10.0, 0.01, 1.0]
    path = regularisation_path(features, labels, cs, class_weight="balanced", block_rows=128)
    chosen = select(path, CHOICE)
    np.testing.assert_array_equal(chosen.c, np.array(cs)[CHOICE])
    assert (chosen.class_weight, chosen.block_rows) == ("balanced", 128)
    whole = probabilities(chosen, features)
    for concept, model in enumerate(CHOICE):
        np.testing.assert_array_equal(chosen.weights[concept], path[model].weights[concept])
        np.testing.assert_allclose(
            whole[:, concept], probabilities(path[model], features)[:, concept], rtol=1e-6
        )
        for name in ("converged", "passes", "losses", "gaps", "gradient_norms"):
            found, made = getattr(chosen.report, name), getattr(path[model].report, name)
            assert found[concept] == made[concept]
            assert found.dtype == made.dtype
    assert chosen.report.total_passes == sum(int(model.report.total_passes) for model in path)
    again = LogisticRegression.from_state(chosen.state())
    np.testing.assert_array_equal(probabilities(again, features), whole)
    refitted = LogisticRegression(chosen.c, class_weight="balanced").fit(features, labels)
    np.testing.assert_allclose(refitted.report.losses, chosen.report.losses, rtol=5e-6)


def test_a_choice_that_does_not_fit_is_refused() -> None:
    features, labels = drawn()
    path = regularisation_path(features, labels, [0.1, 1.0])
    for choice in (CHOICE, CHOICE[:5] // 2, CHOICE - 1):
        with pytest.raises(ConfigError, match="expected for each of 8 concepts a number from 0 to 1"):
            select(path, choice)
    with pytest.raises(ConfigError, match=r"shapes \[\]; expected models of one shape"):
        select([], CHOICE)
    other = LogisticRegression().fit(features[:, :3], labels)
    with pytest.raises(ConfigError, match=r"shapes \[\(8, 3\), \(8, 12\)\]; expected models of one shape"):
        select([path[0], other], CHOICE)
