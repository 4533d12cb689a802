"""The linear detector: logistic regression on features, its penalty chosen on the validation part.

fit one model for each C of `classify.cs`, from the strongest penalty to the weakest
take the C with the best validation score for all concepts ("auto"),
or for each concept the C with its least validation log-loss ("per-concept")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from imageclef.config import ClassifySettings
from imageclef.detectors.base import Fitted, Source, State
from imageclef.detectors.task import Rows, Task
from imageclef.errors import ConfigError
from imageclef.settings import Settings

if TYPE_CHECKING:  # the solver needs PyTorch; whoever only asks for the settings does not
    from imageclef.detectors.logistic import LogisticRegression


class LinearSettings(Settings):
    """None of its own: C and the class weight stand in ``[classify]``."""


@dataclass(frozen=True)
class Linear:
    """One row of weights for each concept.

    Attributes:
        concepts: the concept of each column.
        model: fitted.
    """

    reads: ClassVar[Source] = "features"
    settings_type: ClassVar[type[Settings]] = LinearSettings

    concepts: tuple[str, ...]
    model: LogisticRegression

    @classmethod
    def fit(cls, task: Task) -> Fitted:
        """Fit the path over C on the training part, and choose on the validation part."""
        from imageclef.detectors.logistic import regularisation_path

        train, features, cs = task.data.train, task.rows.features, strengths(task.classify)
        n_concepts = len(task.vocabulary)
        with task.reporter.progress("fitting", len(cs) * n_concepts, "concepts") as advance:
            models = regularisation_path(
                features,
                train.labels,
                cs,
                rows=train.rows,
                device=task.device,
                progress=advance,
                class_weight=task.classify.class_weight,
                cache=task.cache,
            )
        choice, log_odds, metrics = _chosen(models, cs, task)
        model = select(models, choice)
        metrics["not_converged"] = int((~model.report.converged).sum())
        return Fitted(cls(task.vocabulary.concepts, model), log_odds, metrics)

    @classmethod
    def disk_needs(cls, task: Task) -> int:
        """For each C the weights, a position and its gradient to go on from; then the weights chosen."""
        n_features = int(task.rows.features.shape[1])
        return 4 * len(task.vocabulary) * n_features * (3 * len(strengths(task.classify)) + 1)

    def refit(self, task: Task) -> Linear:
        """Fit both parts with the C that was chosen, starting at these weights."""
        from imageclef.detectors.logistic import LogisticRegression

        settings, data = task.classify, task.data
        model = LogisticRegression(self.model.c, device=task.device, class_weight=settings.class_weight)
        return Linear(
            self.concepts, model.fit(task.rows.features, data.labels, data.rows, warm_start=self.model)
        )

    def log_odds(self, rows: Rows) -> NDArray[np.float32]:
        """Log-odds (n_images, n_concepts): one product with the features as they come."""
        return self.model.log_odds(rows.features)

    def state(self) -> State:
        """Weights, intercepts, C, and how the fit ended."""
        return self.model.state()

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]], concepts: tuple[str, ...]) -> Self:
        """The detector that had this state."""
        from imageclef.detectors.logistic import LogisticRegression

        return cls(concepts, LogisticRegression.from_state(state))


def strengths(settings: ClassifySettings) -> tuple[float, ...]:
    """The values of C to fit, in the order of the settings."""
    return settings.cs if isinstance(settings.c, str) else (settings.c,)


def _chosen(
    models: Sequence[LogisticRegression], cs: Sequence[float], task: Task
) -> tuple[NDArray[np.int64], NDArray[np.float32], dict[str, Any]]:
    """Which of the models each concept is taken from.

    Returns:
        The choice, (n_concepts,); the log-odds it gives for the validation images; what to write down.
    """
    part = task.data.validation
    matrix = task.rows.features[part.rows]
    per_concept, n_concepts = task.classify.c == "per-concept", part.labels.shape[1]
    best = np.full(n_concepts, np.inf)
    choice, chosen = np.zeros(n_concepts, np.int64), np.empty((len(matrix), n_concepts), np.float32)
    scores = {}
    for place, (c, model) in enumerate(zip(cs, models, strict=True)):
        log_odds = model.log_odds(matrix)
        if per_concept:
            losses = _log_losses(log_odds, part.labels)
        else:
            scores[str(c)] = task.score(log_odds)
            losses = np.full(n_concepts, -scores[str(c)])
        better = losses < best
        choice[better], best[better], chosen[:, better] = place, losses[better], log_odds[:, better]
    if not per_concept:
        return choice, chosen, {"c": cs[choice[0]], "score_by_c": scores}
    counts = np.bincount(choice, minlength=len(cs)).tolist()
    by_c = dict(zip(map(str, cs), counts, strict=True))
    return choice, chosen, {"c": "per-concept", "concepts_by_c": by_c}


def _log_losses(log_odds: NDArray[np.float32], labels: sparse.csr_array) -> NDArray[np.float64]:
    """The mean log-loss of each concept, (n_concepts,)."""
    of_negatives = -special.log_expit(-log_odds).sum(axis=0, dtype=np.float64)
    rows, columns = sparse.coo_array(labels).coords
    of_positives = np.bincount(columns, log_odds[rows, columns], minlength=log_odds.shape[1])
    losses: NDArray[np.float64] = (of_negatives - of_positives) / len(log_odds)
    return losses


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
    from imageclef.detectors.logistic import LogisticRegression
    from imageclef.detectors.problem import ConvergenceReport, Fit

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
    fit = Fit(taken([one.weights for one in models]), taken([one.intercepts for one in models]), report)
    like = models[0]
    return LogisticRegression(
        cs, like.limits.tolerance, like.limits.max_passes, like.device, like.block_rows, like.class_weight
    ).take(fit)
