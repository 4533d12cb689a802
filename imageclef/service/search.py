"""Questions to the index: the only file of this room that knows `imageclef.retrieval`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import DataError
from imageclef.retrieval.index import Index
from imageclef.retrieval.questions import Join, Question, ask
from imageclef.retrieval.vectors import Metric

__all__ = ["MOST_HITS", "Found", "Join", "NearestTrained", "Searcher"]

MOST_HITS = 200


@dataclass(frozen=True)
class Found:
    """An image that was found.

    Attributes:
        image_id: of the index.
        distance: Euclidean, or 1 - cosine similarity.
        similarity: the cosine similarity; None for a Euclidean index.
    """

    image_id: str
    distance: float
    similarity: float | None


class Searcher:
    """An index together with the concepts of its images.

    Attributes:
        ids: of the index, by row.
        vocabulary: the concepts of these images.
    """

    def __init__(self, index: Index, concepts: Mapping[str, Sequence[str]]) -> None:
        self._index = index
        self.ids = list(index.ids)
        self._rows = {image_id: row for row, image_id in enumerate(self.ids)}
        lists = [concepts.get(image_id, ()) for image_id in self.ids]
        self.vocabulary = Vocabulary.count(lists)
        self._columns = {concept: place for place, concept in enumerate(self.vocabulary.concepts)}
        self._labels = csc_array(self.vocabulary.labels(lists))

    def warm(self) -> None:
        """Search once: an index reads and arranges its rows when it is first asked."""
        self.by_vectors(self.rows_at(np.zeros(1, np.int64)), 1)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    @property
    def metric(self) -> Metric:
        """What is measured."""
        return self._index.metric

    @property
    def digest(self) -> str:
        """Names the rows: changes with the features, the images, and their order."""
        about = "\n".join([self._index.made_with, self.metric, *self.ids])
        return sha256(about.encode("utf-8", "surrogateescape")).hexdigest()

    def vectors_of(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """The features of indexed images, (n_ids, n_features).

        Raises:
            DataError: one is not in the index.
        """
        return self._index.vectors(self._index.rows_of(ids))

    def blocks(self, size: int = 8192) -> list[slice]:
        """Slices over the rows, for reading them in turn."""
        return [slice(start, min(start + size, len(self))) for start in range(0, len(self), size)]

    def rows_at(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The features of some rows, (n_rows, n_features)."""
        return self._index.vectors(rows)

    def by_vectors(
        self,
        vectors: NDArray[np.float32],
        k: int,
        required: Sequence[str] = (),
        forbidden: Sequence[str] = (),
        leave_out: Sequence[str] = (),
        join: Join = "mean",
    ) -> list[Found]:
        """The k images nearest to some vectors, (n_queries, n_features), that pass the filters.

        Args:
            vectors: at least one.
            k: at least 1.
            required: concepts that each answer has.
            forbidden: concepts that no answer has.
            leave_out: images that are not answered.
            join: near the mean of the vectors, or near any of them.

        Raises:
            DataError: a concept is not in the collection, or an image not in the index.
        """
        question = Question(vectors, join, tuple(leave_out))
        answers = ask(self._index, question, k, self._mask(required, forbidden))
        cosine = self.metric == "cosine"
        return [
            Found(
                answer.image_id,
                1 - answer.distance if cosine else answer.distance,
                answer.distance if cosine else None,
            )
            for answer in answers
        ]

    def having(self, concept: str) -> NDArray[np.int64]:
        """The rows of images that have a concept, rising.

        Raises:
            DataError: no image of the index has it.
        """
        column = self._columns.get(concept)
        if column is None:
            raise DataError(f"no image of the collection has concept '{concept}'")
        first, last = self._labels.indptr[column : column + 2]
        return np.sort(self._labels.indices[first:last]).astype(np.int64)

    def _mask(self, required: Sequence[str], forbidden: Sequence[str]) -> NDArray[np.bool_] | None:
        """True for the rows that pass, (n_images,); None where nothing is asked."""
        if not required and not forbidden:
            return None
        mask = np.ones(len(self), dtype=np.bool_)
        for concept in required:
            having = np.zeros(len(self), dtype=np.bool_)
            having[self.having(concept)] = True
            mask &= having
        for concept in forbidden:
            mask[self.having(concept)] = False
        return mask


class NearestTrained:
    """Cosine search of the training images that a classifier may copy from."""

    def __init__(self, features: NDArray[np.float32], device: str) -> None:
        """Index the features, (n_images, n_features)."""
        self._index = Index.build(features, [str(row) for row in range(len(features))], "cosine", device)

    def nearest(self, vector: NDArray[np.float32]) -> tuple[int, float]:
        """Row and similarity of the nearest to a vector, (1, n_features)."""
        similarity, rows = self._index.search(vector, 1)
        return int(rows[0, 0]), float(similarity[0, 0])
