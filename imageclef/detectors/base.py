"""Detectors: whatever maps images to one log-odds for each concept.

    detector.log_odds(rows) -> (n_images, n_concepts)

A detector looks at features (the linear one, the nearest neighbours), at pixels (a network), or at the ids of
the images alone (scores that somebody else computed). Calibration, decision rules, thresholds, runs, reports,
the page and findings see the log-odds only: a new detector is one file and one line in `table.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from imageclef.detectors.task import Rows, Task
from imageclef.settings import Settings

Source = Literal["features", "pixels", "ids"]
"""What a detector reads of an image: a row of a feature set, of a store, or its name alone."""

State = dict[str, NDArray[Any]]
"""What a detector has learned, as arrays by name."""


class Detector(Protocol):
    """One log-odds for each image and concept.

    Attributes:
        reads: what the rows that it is given have to hold.
        settings_type: its keys in the table ``[detector]``, beside the name.
        concepts: the concept of each column.
    """

    reads: ClassVar[Source]
    settings_type: ClassVar[type[Settings]]

    @property
    def concepts(self) -> tuple[str, ...]:
        """The concept of each column of the log-odds."""

    @classmethod
    def fit(cls, task: Task) -> Fitted:
        """Learn from the training part and choose on the validation part of the task."""

    @classmethod
    def disk_needs(cls, task: Task) -> int:
        """Bytes that fitting and saving may take on disk, so that a full one is noticed before."""

    def refit(self, task: Task) -> Detector:
        """Learn once more from both parts, with all that was chosen; a detector may return itself."""

    def log_odds(self, rows: Rows) -> NDArray[np.float32]:
        """Log-odds (n_images, n_concepts) of a block of images: finite, and of each image by itself."""

    def state(self) -> State:
        """Everything that `from_state` needs, as arrays."""

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]], concepts: tuple[str, ...]) -> Self:
        """The detector that had this state; a KeyError names an array that is missing."""


@dataclass(frozen=True)
class Fitted:
    """A detector and how it does on the images that it has not seen.

    Attributes:
        detector: fitted on the training part.
        log_odds: (n_validation, n_concepts) float32, of the validation images, in their order.
        metrics: what was chosen and how the fit ended, as JSON values.
    """

    detector: Detector
    log_odds: NDArray[np.float32]
    metrics: Mapping[str, Any]
