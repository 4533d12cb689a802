"""One model made of several: a strength that suits one concept is too weak or too strong for another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageclef.detectors.logistic import LogisticRegression
from imageclef.detectors.problem import ConvergenceReport, Fit
from imageclef.errors import ConfigError


def select(models: Sequence[LogisticRegression], choice: NDArray[np.int64]) -> LogisticRegression:
    """One model that takes each concept from one of several, such as those of a path.

    Args:
        models: fitted on the same features and concepts; they may differ in `c`.
        choice: (n_concepts,) which model each concept is taken from.

    Returns:
        A model with a `c` for each concept. The `total_passes` of its report are those of all models.

    Raises:
        ConfigError: there are no models, their shapes differ, or the choice does not fit them.
    """
    shapes = {model.weights.shape for model in models}
    if len(shapes) != 1:
        raise ConfigError(f"select: weights of shapes {sorted(shapes)}; expected models of one shape")
    choice, n_concepts = np.asarray(choice), len(models[0].weights)
    if choice.shape != (n_concepts,) or not np.isin(choice, np.arange(len(models))).all():
        raise ConfigError(
            f"select: expected for each of {n_concepts} concepts a number from 0 to {len(models) - 1}"
        )

    def taken(arrays: Sequence[Any]) -> NDArray[Any]:
        return np.stack(arrays)[choice, np.arange(n_concepts)]

    reports = {
        field.name: [getattr(model.report, field.name) for model in models]
        for field in fields(ConvergenceReport)
    }
    total = np.sum(reports.pop("total_passes"))
    report = ConvergenceReport(total_passes=total, **{name: taken(all_) for name, all_ in reports.items()})
    cs = taken([np.broadcast_to(np.asarray(model.c, dtype=np.float64), n_concepts) for model in models])
    weights = taken([model.weights for model in models])
    fit = Fit(weights, taken([model.intercepts for model in models]), report)
    return LogisticRegression(**{**models[0].get_params(), "c": cs}).take(fit)
