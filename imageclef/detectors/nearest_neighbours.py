"""The neighbours detector: a concept is as likely as it is frequent among the k most similar training images.

    share = similarity-weighted part of the k neighbours that have the concept
    p     = (k share + prevalence) / (k + 1)

The prevalence counts like one further neighbour, so that no log-odds is infinite and two concepts that no
neighbour has are still ordered. k is the one with the best validation score. `imageclef knn` asks the same
neighbours, but decides by their votes, as the runs of 2018 did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array
from scipy.special import logit

from imageclef.detectors.base import Fitted, Source, State
from imageclef.detectors.task import Rows, Task
from imageclef.features.labelled import Labelled
from imageclef.retrieval.index import Index
from imageclef.retrieval.voting import normalised, similarities, vote_scores
from imageclef.settings import Settings


class NeighbourSettings(Settings):
    """The numbers of neighbours to choose from, by cosine similarity."""

    ks: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(5, 10, 20, 50, 100), min_length=1)


@dataclass(frozen=True)
class NearestNeighbours:
    """The labelled images that vote.

    Attributes:
        concepts: the concept of each column.
        vectors: (n_labelled, n_features) float32.
        labels: (n_labelled, n_concepts) sparse.
        k: neighbours that vote.
        device: where to search.
    """

    reads: ClassVar[Source] = "features"
    settings_type: ClassVar[type[Settings]] = NeighbourSettings

    concepts: tuple[str, ...]
    vectors: NDArray[np.float32]
    labels: csr_array
    k: int
    device: str = "cpu"

    @classmethod
    def fit(cls, task: Task) -> Fitted:
        """Choose k on the validation part."""
        settings = task.settings
        assert isinstance(settings, NeighbourSettings)
        train, asked = task.data.train, task.rows.features[task.data.validation.rows]
        ks = sorted({min(k, len(train.rows)) for k in settings.ks})
        most = cls._of(task, train, ks[-1])
        distances, rows = most._search(asked)
        scores, best = {}, (-np.inf, 0, np.empty(0, np.float32))
        with task.reporter.progress("choosing k", len(ks), "values of k") as advance:
            for k in ks:
                found = most._voted(distances[:, :k], rows[:, :k])
                scores[str(k)] = task.score(found)
                if scores[str(k)] > best[0]:
                    best = scores[str(k)], k, found
                advance(1)
        return Fitted(cls._of(task, train, best[1]), best[2], {"k_neighbours": best[1], "score_by_k": scores})

    @classmethod
    def disk_needs(cls, task: Task) -> int:
        """The vectors of the labelled images."""
        return 4 * len(task.data.rows) * int(task.rows.features.shape[1])

    def refit(self, task: Task) -> NearestNeighbours:
        """Let the validation part vote too."""
        return self._of(task, task.data, self.k)

    def log_odds(self, rows: Rows) -> NDArray[np.float32]:
        """Log-odds (n_images, n_concepts) by the neighbours of each image."""
        return self._voted(*self._search(rows.features[:]))

    def state(self) -> State:
        """The vectors, the labels and k."""
        return {
            "vectors": self.vectors,
            "labels.columns": self.labels.indices.astype(np.int64),
            "labels.ends": self.labels.indptr.astype(np.int64),
            "k": np.asarray(self.k),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]], concepts: tuple[str, ...]) -> Self:
        """The detector that had this state."""
        columns, ends, vectors = state["labels.columns"], state["labels.ends"], state["vectors"]
        ones = np.ones(len(columns), dtype=np.uint8)
        labels = csr_array((ones, columns, ends), shape=(len(vectors), len(concepts)))
        return cls(concepts, vectors, labels, int(state["k"]))

    @classmethod
    def _of(cls, task: Task, part: Labelled, k: int) -> Self:
        vectors = np.asarray(task.rows.features[part.rows], dtype=np.float32)
        return cls(task.vocabulary.concepts, vectors, part.labels, k, task.device)

    def _search(self, asked: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Similarities and rows of the k nearest, (n_images, k) each."""
        return self._index.search(asked, self.k)

    @cached_property
    def _index(self) -> Index:
        ids = [str(row) for row in range(len(self.vectors))]
        return Index.of(self.vectors, ids, "cosine", self.device)

    def _voted(self, distances: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        weights = normalised(similarities(distances, "cosine"))
        shares, k = vote_scores(rows, weights, self.labels).toarray(), rows.shape[1]
        # Half an image: a concept that no labelled image has, or that all have, keeps a finite log-odds.
        n = len(self.vectors)
        prevalence = np.clip(np.asarray(self.labels.sum(axis=0)).ravel() / n, 0.5 / n, 1 - 0.5 / n)
        result: NDArray[np.float32] = logit((k * shares + prevalence) / (k + 1)).astype(np.float32)
        return result
