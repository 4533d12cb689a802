"""One archive that is served: an index, the images behind it, their concepts, the learners, the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import BinaryIO

import numpy as np

from imageclef.service.answers import (
    Column,
    Concept,
    CountedConcept,
    Detected,
    DetectedConcept,
    Hit,
    MapPoints,
    Picture,
    Query,
    Regions,
    Similar,
    Value,
)
from imageclef.service.served.columns import counted
from imageclef.service.served.detection import Detector
from imageclef.service.served.encoder import Encoded, Encoder
from imageclef.service.served.explaining import Explained, Explainer
from imageclef.service.served.gallery import Gallery
from imageclef.service.served.projection import Projection
from imageclef.service.served.search import NOTHING, Found, Join, Narrowed, Searcher

MOST_POINTS = 50_000
"""Of the map; of larger collections so many are shown, evenly over the index."""


@dataclass(frozen=True)
class Asked:
    """A question of a visitor.

    Attributes:
        uploads: image files.
        ids: indexed images.
        k: answers wanted.
        narrowed: what answers are.
        join: near the mean of several images, or near any of them.
        why: whether it is said where answers and the first query agree.
    """

    uploads: Sequence[BinaryIO]
    ids: Sequence[str]
    k: int
    narrowed: Narrowed = NOTHING
    join: Join = "mean"
    why: bool = False


@dataclass(frozen=True)
class Archive:
    """Answers of the service, computed from what a workspace holds; safe to ask from several threads.

    Attributes:
        searcher: the index.
        encoder: what reads uploads.
        gallery: the pictures.
        concepts: of the images.
        names: of concepts.
        detector: of concepts in uploads; None where there is no classifier of these features.
        projection: the map.
        explainer: finds why.
    """

    searcher: Searcher
    encoder: Encoder
    gallery: Gallery
    concepts: Mapping[str, Sequence[str]]
    names: Mapping[str, str]
    detector: Detector | None
    projection: Projection
    explainer: Explainer

    def concept(self, concept: str) -> Concept:
        """A concept with its name."""
        return Concept(concept=concept, name=self.names.get(concept, concept))

    def counted(self) -> list[CountedConcept]:
        """All concepts of the index, by falling number of images."""
        vocabulary = self.searcher.vocabulary
        return [
            CountedConcept(concept=concept, name=self.names.get(concept, concept), images=count)
            for concept, count in zip(vocabulary.concepts, vocabulary.counts, strict=True)
        ]

    def columns(self) -> list[Column]:
        """The columns that answers can be narrowed by."""
        return [
            Column(column=column, values=[Value(value=value, images=count) for value, count in pairs])
            for column, pairs in counted(self.searcher.metadata).items()
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
            DataError: an upload cannot be read, or an image, a concept or a value is not in the index.
        """
        uploads = [self.encoder.encode(upload) for upload in asked.uploads]
        vectors = [self.searcher.vectors_of(asked.ids)] if asked.ids else []
        vectors += [upload.row.compared for upload in uploads]
        found = self.searcher.by_vectors(
            np.concatenate(vectors), asked.k, asked.narrowed, asked.ids, asked.join
        )
        own = [concept for one in asked.ids for concept in self.concepts.get(one, ())]
        if asked.why:
            own += [concept for upload in uploads for concept in self._detected(upload)]
        own = list(dict.fromkeys(own))
        why = self._why(asked.ids, uploads, found) if asked.why else None
        query = Query(uploads=len(uploads), ids=list(asked.ids), concepts=list(map(self.concept, own)))
        return Similar(
            query=query,
            metric=self.searcher.metric,
            hits=self._hits(found, own, why),
            state=self.state,
            explained=why.said if why else None,
        )

    def detect(self, upload: BinaryIO) -> Detected:
        """The concepts of an upload; only where there is a detector.

        Raises:
            DataError: the upload cannot be read.
        """
        if self.detector is None:
            raise ValueError("no detector")
        found = self.detector.detect_in(self.encoder.encode(upload))
        order = np.lexsort((-found.scores, ~found.answer))
        cuts = found.thresholds
        listed = [
            DetectedConcept(
                concept=concept,
                name=self.names.get(concept, concept),
                score=float(found.scores[place]),
                threshold=None if cuts is None else float(cuts[place]),
                detected=bool(found.answer[place]),
            )
            for place, concept in ((place, self.detector.concepts[place]) for place in order.tolist())
        ]
        return Detected(rule=self.detector.rule, copied=found.copied, concepts=listed)

    @cached_property
    def state(self) -> str:
        """Changes whenever the index does."""
        return self.searcher.digest[:16]

    def map_points(self) -> MapPoints:
        """The map, or an even part of a large one."""
        points = self.projection.points[self._shown].astype(float).round(4)
        return MapPoints(
            method="pca",
            explained=list(self.projection.explained),
            total=len(self.projection.ids),
            ids=[self.projection.ids[row] for row in self._shown.tolist()],
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

    @cached_property
    def _shown(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The points of the map that are shown."""
        n = len(self.projection.ids)
        return np.arange(0, n, -(-n // MOST_POINTS))

    def _hits(self, found: Sequence[Found], own: Sequence[str], why: Explained | None) -> list[Hit]:
        pairs = why.pairs if why else [None] * len(found)
        return [
            Hit(
                id=one.image_id,
                concepts=self._concepts_of(one.image_id),
                rank=rank,
                distance=one.distance,
                similarity=one.similarity,
                shared=[concept for concept in self.concepts.get(one.image_id, ()) if concept in own],
                regions=Regions(query=pair.query, image=pair.image) if pair else None,
            )
            for rank, (one, pair) in enumerate(zip(found, pairs, strict=True), start=1)
        ]

    def _why(self, ids: Sequence[str], uploads: Sequence[Encoded], found: Sequence[Found]) -> Explained:
        """Where each answer agrees with the first upload, or else with the first indexed image."""
        query = uploads[0].at if uploads else partial(self.gallery.pixels, ids[0])
        return self.explainer.explain(query, [partial(self.gallery.pixels, one.image_id) for one in found])

    def _detected(self, upload: Encoded) -> list[str]:
        if self.detector is None:
            return []
        return [
            self.detector.concepts[place] for place in self.detector.detect_in(upload).answer.nonzero()[0]
        ]

    def _concepts_of(self, image_id: str) -> list[Concept]:
        return [self.concept(concept) for concept in self.concepts.get(image_id, ())]
