"""What is served: an index, the images behind it, their concepts and names, the learner, the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from imageclef.service.answers import (
    Concept,
    CountedConcept,
    Detected,
    DetectedConcept,
    Hit,
    MapPoints,
    Picture,
    Query,
    Similar,
)
from imageclef.service.detection import Detector
from imageclef.service.encoder import Encoder
from imageclef.service.gallery import Gallery
from imageclef.service.projection import Projection
from imageclef.service.search import Join, Searcher

MOST_POINTS = 50_000
"""Of the map; of larger collections so many are shown, evenly over the index."""


@dataclass(frozen=True)
class Asked:
    """A question of a visitor.

    Attributes:
        uploads: image files.
        ids: indexed images.
        k: answers wanted.
        required: concepts that answers have.
        forbidden: concepts that they do not have.
        join: near the mean of several images, or near any of them.
    """

    uploads: Sequence[BinaryIO]
    ids: Sequence[str]
    k: int
    required: Sequence[str] = ()
    forbidden: Sequence[str] = ()
    join: Join = "mean"


class Archive:
    """Answers of the service, computed from what a workspace holds; safe to ask from several threads."""

    def __init__(
        self,
        searcher: Searcher,
        encoder: Encoder,
        gallery: Gallery,
        concepts: Mapping[str, Sequence[str]],
        names: Mapping[str, str],
        detector: Detector | None,
        projection: Projection,
    ) -> None:
        self.searcher, self.encoder, self.gallery = searcher, encoder, gallery
        self.detector = detector
        self._concepts, self._names, self._projection = concepts, names, projection
        step = -(-len(projection.ids) // MOST_POINTS)
        self._shown = np.arange(0, len(projection.ids), step)

    def concept(self, concept: str) -> Concept:
        """A concept with its name."""
        return Concept(concept=concept, name=self._names.get(concept, concept))

    def counted(self) -> list[CountedConcept]:
        """All concepts of the index, by falling number of images."""
        vocabulary = self.searcher.vocabulary
        return [
            CountedConcept(concept=concept, name=self._names.get(concept, concept), images=count)
            for concept, count in zip(vocabulary.concepts, vocabulary.counts, strict=True)
        ]

    def picture(self, image_id: str) -> Picture:
        """An indexed image and its concepts."""
        return Picture(id=image_id, concepts=self._concepts_of(image_id))

    def ids(self, part: str, limit: int, sample: bool) -> list[str]:
        """Indexed images whose ids have a part: the first of them, or some evenly over all."""
        found = [one for one in self.searcher.ids if part in one] if part else self.searcher.ids
        if not sample or len(found) <= limit:
            return found[:limit]
        return [found[row] for row in np.linspace(0, len(found) - 1, limit, dtype=np.int64).tolist()]

    def similar(self, asked: Asked) -> Similar:
        """Answer a question.

        Raises:
            DataError: an upload cannot be read, or an image or a concept is not in the index.
        """
        vectors = [self.searcher.vectors_of(asked.ids)] if asked.ids else []
        vectors += [self.encoder.features(upload) for upload in asked.uploads]
        own = list(dict.fromkeys(concept for one in asked.ids for concept in self._concepts.get(one, ())))
        found = self.searcher.by_vectors(
            np.concatenate(vectors), asked.k, asked.required, asked.forbidden, asked.ids, asked.join
        )
        hits = [
            Hit(
                id=one.image_id,
                concepts=self._concepts_of(one.image_id),
                rank=rank,
                distance=one.distance,
                similarity=one.similarity,
                shared=[concept for concept in self._concepts.get(one.image_id, ()) if concept in own],
            )
            for rank, one in enumerate(found, start=1)
        ]
        concepts = [self.concept(concept) for concept in own]
        query = Query(uploads=len(asked.uploads), ids=list(asked.ids), concepts=concepts)
        return Similar(query=query, metric=self.searcher.metric, hits=hits)

    def detect(self, upload: BinaryIO) -> Detected:
        """The concepts of an upload; only where there is a detector.

        Raises:
            DataError: the upload cannot be read.
        """
        if self.detector is None:
            raise ValueError("no detector")
        found = self.detector.detect(self.encoder.features(upload))
        order = np.lexsort((-found.scores, ~found.answer))
        cuts = found.thresholds
        listed = [
            DetectedConcept(
                concept=concept,
                name=self._names.get(concept, concept),
                score=float(found.scores[place]),
                threshold=None if cuts is None else float(cuts[place]),
                detected=bool(found.answer[place]),
            )
            for place, concept in ((place, self.detector.concepts[place]) for place in order.tolist())
        ]
        return Detected(rule=self.detector.rule, copied=found.copied, concepts=listed)

    def map_points(self) -> MapPoints:
        """The map, or an even part of a large one."""
        points = self._projection.points[self._shown].astype(float).round(4)
        return MapPoints(
            method="pca",
            explained=self._projection.explained,
            total=len(self._projection.ids),
            ids=[self._projection.ids[row] for row in self._shown.tolist()],
            x=points[:, 0].tolist(),
            y=points[:, 1].tolist(),
        )

    def map_places(self, concept: str) -> list[int]:
        """Which points of the map have a concept.

        Raises:
            DataError: no image has it.
        """
        places = np.flatnonzero(np.isin(self._shown, self.searcher.having(concept)))
        return [int(place) for place in places]

    def _concepts_of(self, image_id: str) -> list[Concept]:
        return [self.concept(concept) for concept in self._concepts.get(image_id, ())]
