"""The imported detector: a table of scores that another program computed for the images, by their ids.

    ID,C0000001,C0000002
    image1,0.93,0.02

One line for each image of every collection, a column for each concept; probabilities or log-odds. A concept
of the vocabulary without a column has its prevalence as score everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from imageclef.detectors.base import Fitted, Source, State
from imageclef.detectors.task import Rows, Task
from imageclef.errors import DataError
from imageclef.settings import Settings

_LARGEST = np.float32(15.0)
"""The largest log-odds: a probability of 0 or 1 is taken as one in three million away from it."""


class ImportedSettings(Settings):
    """The table.

    Attributes:
        scores: a CSV file with the column ID and one column for each concept.
        kind: what the scores are.
    """

    scores: Path
    kind: Literal["probabilities", "log-odds"] = "probabilities"


@dataclass(frozen=True)
class Imported:
    """Scores of listed images.

    Attributes:
        concepts: the concept of each column.
        ids: the image of each row.
        table: (n_images, n_concepts) float32, log-odds.
    """

    reads: ClassVar[Source] = "ids"
    settings_type: ClassVar[type[Settings]] = ImportedSettings

    concepts: tuple[str, ...]
    ids: tuple[str, ...]
    table: NDArray[np.float32]

    @classmethod
    def fit(cls, task: Task) -> Fitted:
        """Read the table; there is nothing to learn."""
        settings = task.settings
        assert isinstance(settings, ImportedSettings)
        ids, columns = _read(settings)
        train, concepts = task.data.train, task.vocabulary.concepts
        n = len(train.rows)
        prevalence = np.clip(np.asarray(train.labels.sum(axis=0)).ravel() / n, 0.5 / n, 1 - 0.5 / n)
        table = np.tile(logit(prevalence).astype(np.float32), (len(ids), 1))
        for column, concept in enumerate(concepts):
            if concept in columns:
                table[:, column] = columns[concept]
        missing = sum(concept not in columns for concept in concepts)
        if missing == len(concepts):
            raise DataError(f"{settings.scores}: no column is one of the {missing} concepts; expected some")
        detector = cls(concepts, ids, np.clip(table, -_LARGEST, _LARGEST))
        found = detector.log_odds(task.rows.take(task.data.validation.rows))
        return Fitted(detector, found, {"concepts_without_scores": missing})

    @classmethod
    def disk_needs(cls, task: Task) -> int:
        """About the table."""
        return 8 * len(task.rows) * len(task.vocabulary)

    def refit(self, task: Task) -> Imported:
        """The same table."""
        return self

    def log_odds(self, rows: Rows) -> NDArray[np.float32]:
        """Log-odds (n_images, n_concepts) of listed images.

        Raises:
            DataError: an image is not in the table.
        """
        places = {image_id: place for place, image_id in enumerate(self.ids)}
        missing = [image_id for image_id in rows.ids if image_id not in places]
        if missing:
            raise DataError(
                f"imported scores: no line for image '{missing[0]}' and {len(missing) - 1} others; "
                "expected one for each image"
            )
        return self.table[[places[image_id] for image_id in rows.ids]]

    def state(self) -> State:
        """The table, and the ids as text."""
        text = "\n".join(self.ids).encode()
        return {"table": self.table, "ids": np.frombuffer(text, dtype=np.uint8).copy()}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]], concepts: tuple[str, ...]) -> Self:
        """The detector that had this state."""
        return cls(concepts, tuple(state["ids"].tobytes().decode().split("\n")), state["table"])


def _read(settings: ImportedSettings) -> tuple[tuple[str, ...], dict[str, NDArray[np.float32]]]:
    """The ids and the log-odds of each column."""
    path = settings.scores
    try:
        table = pd.read_csv(path, dtype={"ID": str}, keep_default_na=False, na_values=[""])
        values = {str(name): table[name].to_numpy(np.float32) for name in table.columns if name != "ID"}
        ids = tuple(table["ID"].tolist())
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: {error}; expected a CSV file with ID and a column per concept") from None
    if len(set(ids)) < len(ids):
        raise DataError(f"{path}: {len(ids) - len(set(ids))} images appear twice; expected one line for each")
    for name, scores in values.items():
        low, high = (0, 1) if settings.kind == "probabilities" else (-np.inf, np.inf)
        wrong = np.flatnonzero(~((scores >= low) & (scores <= high)))
        if len(wrong):
            raise DataError(f"{path}:{wrong[0] + 2}: {name} is {scores[wrong[0]]}; expected {settings.kind}")
    if settings.kind == "probabilities":
        values = {name: logit(scores) for name, scores in values.items()}
    return ids, values
