"""The ensemble detector: the mean of the log-odds of several detectors of the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from imageclef.detectors.base import Detector, Fitted, Source, State
from imageclef.detectors.linear import Linear
from imageclef.detectors.nearest_neighbours import NearestNeighbours
from imageclef.detectors.task import Rows, Task
from imageclef.settings import Settings

Member = Literal["linear", "neighbours"]
_MEMBERS: dict[str, type[Detector]] = {"linear": Linear, "neighbours": NearestNeighbours}


class EnsembleSettings(Settings):
    """The detectors to average, each with its usual settings."""

    members: tuple[Literal["linear", "neighbours"], ...] = Field(
        default=("linear", "neighbours"), min_length=2
    )


@dataclass(frozen=True)
class Averaged:
    """Detectors whose log-odds are averaged.

    Attributes:
        concepts: the concept of each column.
        members: by their names.
    """

    reads: ClassVar[Source] = "features"
    settings_type: ClassVar[type[Settings]] = EnsembleSettings

    concepts: tuple[str, ...]
    members: Mapping[str, Detector]

    @classmethod
    def fit(cls, task: Task) -> Fitted:
        """Fit every member."""
        settings = task.settings
        assert isinstance(settings, EnsembleSettings)
        fitted = {name: _MEMBERS[name].fit(_own(task, name)) for name in settings.members}
        members: dict[str, Detector] = {name: one.detector for name, one in fitted.items()}
        found = _mean([one.log_odds for one in fitted.values()])
        metrics = {name: dict(one.metrics) for name, one in fitted.items()}
        return Fitted(cls(task.vocabulary.concepts, members), found, {"members": metrics})

    @classmethod
    def disk_needs(cls, task: Task) -> int:
        """What the members need."""
        settings = task.settings
        assert isinstance(settings, EnsembleSettings)
        return sum(_MEMBERS[name].disk_needs(_own(task, name)) for name in settings.members)

    def refit(self, task: Task) -> Averaged:
        """Refit every member."""
        members = {name: one.refit(_own(task, name)) for name, one in self.members.items()}
        return replace(self, members=members)

    def log_odds(self, rows: Rows) -> NDArray[np.float32]:
        """Log-odds (n_images, n_concepts)."""
        return _mean([one.log_odds(rows) for one in self.members.values()])

    def state(self) -> State:
        """The states of the members, by their names."""
        state: State = {}
        for name, one in self.members.items():
            state |= {f"{name}.{key}": array for key, array in one.state().items()}
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]], concepts: tuple[str, ...]) -> Self:
        """The detector that had this state."""
        members: dict[str, Detector] = {}
        for name, kind in _MEMBERS.items():
            start = f"{name}."
            own = {key.removeprefix(start): array for key, array in state.items() if key.startswith(start)}
            if own:
                members[name] = kind.from_state(own, concepts)
        return cls(concepts, members)


def _own(task: Task, name: str) -> Task:
    """The task of a member, with a cache of its own."""
    cache = None if task.cache is None else task.cache / name
    return replace(task, settings=_MEMBERS[name].settings_type(), cache=cache)


def _mean(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = np.mean(parts, axis=0, dtype=np.float32)
    return mean
