"""Questions to the index: the only file of this room that knows `imageclef.retrieval`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csc_array

from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import ConfigError, DataError
from imageclef.retrieval.filters import parse_where, where
from imageclef.retrieval.index import Index
from imageclef.retrieval.questions import Join, Question, ask
from imageclef.retrieval.stored import ABOUT
from imageclef.retrieval.vectors import Metric

__all__ = ["MOST_HITS", "Found", "Join", "Narrowed", "NearestTrained", "Searcher", "manifest_of"]

MOST_HITS = 200


@dataclass(frozen=True)
class Narrowed:
    """What an answer must be.

    Attributes:
        required: concepts that it has, all of them.
        forbidden: concepts of which it has none.
        where: ``column=value`` in the metadata, all of them.
    """

    required: Sequence[str] = ()
    forbidden: Sequence[str] = ()
    where: Sequence[str] = ()


NOTHING = Narrowed()


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
    """An index together with the concepts and the metadata of its images.

    Attributes:
        ids: of the index, by row.
        vocabulary: the concepts of these images.
        metadata: the columns that answers can be narrowed by, a row for each of the index.
    """

    def __init__(
        self,
        index: Index,
        concepts: Mapping[str, Sequence[str]],
        metadata: pd.DataFrame | None = None,
        version: str = "",
    ) -> None:
        """Join them.

        Args:
            index: what is searched.
            concepts: of its images; those without a line have none.
            metadata: columns that answers can be narrowed by, a row for each of the index.
            version: tells this state of the index from others with the same ids.
        """
        self._index, self._version = index, version
        self.metadata = pd.DataFrame(index=pd.Index(index.ids)) if metadata is None else metadata
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
        """Names the rows: changes with the features, the version, the images, and their order."""
        about = "\n".join([self._index.made_with, self.metric, self._version, *self.ids])
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
        narrowed: Narrowed = NOTHING,
        leave_out: Sequence[str] = (),
        join: Join = "mean",
    ) -> list[Found]:
        """The k images nearest to some vectors, (n_queries, n_features), that pass the filters.

        Args:
            vectors: at least one.
            k: at least 1.
            narrowed: what each answer is.
            leave_out: images that are not answered.
            join: near the mean of the vectors, or near any of them.

        Raises:
            DataError: a concept, a column or a value is not in the collection, or an image not in the index.
        """
        question = Question(vectors, join, tuple(leave_out))
        answers = ask(self._index, question, k, self._mask(narrowed))
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

    def _mask(self, narrowed: Narrowed) -> NDArray[np.bool_] | None:
        """True for the rows that pass, (n_images,); None where nothing is asked."""
        if narrowed == NOTHING:
            return None
        mask = np.ones(len(self), dtype=np.bool_)
        for concept in narrowed.required:
            having = np.zeros(len(self), dtype=np.bool_)
            having[self.having(concept)] = True
            mask &= having
        for concept in narrowed.forbidden:
            mask[self.having(concept)] = False
        for text in narrowed.where:
            mask &= self._where(text)
        return mask

    def _where(self, text: str) -> NDArray[np.bool_]:
        """True for the rows with a value in a column that is shown, (n_images,); others are not told of."""
        try:
            column, value = parse_where(text)
        except ConfigError as error:
            raise DataError(str(error)) from None
        return where(self.ids, self.metadata, column, value)


def manifest_of(folder: Path) -> Path:
    """The file of an index that is replaced by every change."""
    return folder / ABOUT


class NearestTrained:
    """Cosine search of the training images that a classifier may copy from."""

    def __init__(self, features: NDArray[np.float32], device: str) -> None:
        """Index the features, (n_images, n_features)."""
        self._index = Index.build(features, [str(row) for row in range(len(features))], "cosine", device)

    def nearest(self, vector: NDArray[np.float32]) -> tuple[int, float]:
        """Row and similarity of the nearest to a vector, (1, n_features)."""
        similarity, rows = self._index.search(vector, 1)
        return int(rows[0, 0]), float(similarity[0, 0])
