"""One archive that is served: an index, the images behind it, their concepts, the learners, the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

import numpy as np

from imageclef.detectors.detection import Annotator
from imageclef.features.encoding import Encoder
from imageclef.retrieval.filters import NO_FILTERS, Filters
from imageclef.retrieval.index import Index
from imageclef.retrieval.similar import Hit as Found
from imageclef.retrieval.similar import Join, SimilaritySearch
from imageclef.retrieval.similar import Query as Asked
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
from imageclef.service.served.gallery import Gallery
from imageclef.service.served.projection import Projection

MOST_HITS = 200
"""The most images that one query may have."""
MOST_POINTS = 50_000
"""Of the map; of larger collections so many are shown, evenly over the index."""


@dataclass(frozen=True)
class Request:
    """A query of a visitor.

    Attributes:
        uploads: image files.
        ids: names of indexed images.
        k: hits wanted.
        filters: what hits must be.
        join: near the mean of several images, or near any of them.
        why: whether regions are computed.
    """

    uploads: Sequence[BinaryIO]
    ids: Sequence[str]
    k: int
    filters: Filters = NO_FILTERS
    join: Join = "mean"
    why: bool = False


@dataclass(frozen=True)
class Archive:
    """Answers of the service, computed from what a workspace holds; safe to ask from several threads.

    Attributes:
        search: the index and what is known of its images.
        encoder: encodes uploads.
        gallery: the pictures.
        names: of concepts.
        detector: of concepts in uploads; None where there is no classifier of these features.
        projection: the map.
        digest: of the index.
    """

    search: SimilaritySearch
    encoder: Encoder
    gallery: Gallery
    names: Mapping[str, str]
    detector: Annotator | None
    projection: Projection
    digest: str

    @property
    def index(self) -> Index:
        """The index."""
        return self.search.index

    def concept(self, concept: str) -> Concept:
        """A concept with its name."""
        return Concept(concept=concept, name=self.names.get(concept, concept))

    def counted(self) -> list[CountedConcept]:
        """All concepts of the index, by falling number of images."""
        return [
            CountedConcept(concept=concept, name=self.names.get(concept, concept), images=len(rows))
            for concept, rows in self.search.concepts.rows_of.items()
        ]

    def columns(self) -> list[Column]:
        """The columns that hits can be filtered by."""
        table = self.search.metadata
        return [
            Column(column=column, values=[Value(value=value, images=count) for value, count in pairs])
            for column, pairs in (counted(table) if table is not None else {}).items()
        ]

    def picture(self, name: str) -> Picture:
        """An indexed image and its concepts."""
        row = self.index.row_of(name)
        concepts = list(map(self.concept, self.search.concepts.of_row[row]))
        return Picture(
            id=self.index.names[row], collection=self.index.images[row].collection, concepts=concepts
        )

    def ids(self, part: str, limit: int, sample: bool) -> list[str]:
        """Names of indexed images that have a part: the first of them, or some evenly over all."""
        found = [one for one in self.index.names if part in one] if part else self.index.names
        if not sample or len(found) <= limit:
            return found[:limit]
        return [found[row] for row in np.linspace(0, len(found) - 1, limit, dtype=np.int64).tolist()]

    def similar(self, request: Request) -> Similar:
        """Answer a query.

        Raises:
            DataError: an upload cannot be read, or an image, a concept or a value is not in the index.
        """
        found = self.search.search(
            Asked(
                images=[self.encoder.encode_upload(upload) for upload in request.uploads],
                names=request.ids,
                k=request.k,
                join=request.join,
                filters=request.filters,
                why=request.why,
            )
        )
        query = Query(
            uploads=len(request.uploads),
            ids=list(request.ids),
            concepts=list(map(self.concept, found.concepts)),
            concepts_from=found.concepts_from,
        )
        return Similar(
            query=query,
            metric=self.index.metric,
            hits=list(map(self._hit, found.hits)),
            state=self.state,
            explained=found.explained,
        )

    def detect(self, upload: BinaryIO) -> Detected:
        """The concepts of an upload; only where there is a detector.

        Raises:
            DataError: the upload cannot be read.
        """
        if self.detector is None:
            raise ValueError("no detector")
        found = self.detector.detect(self.encoder.encode_upload(upload))
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

    @property
    def state(self) -> str:
        """Changes whenever the index does."""
        return self.digest[:16]

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
        places = np.flatnonzero(np.isin(self._shown, self.search.concepts.having(concept)))
        return [int(place) for place in places]

    @cached_property
    def _shown(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The points of the map that are shown."""
        n = len(self.projection.ids)
        return np.arange(0, n, -(-n // MOST_POINTS))

    def _hit(self, found: Found) -> Hit:
        regions = found.regions
        return Hit(
            id=found.name,
            collection=found.image.collection,
            concepts=list(map(self.concept, found.concepts)),
            rank=found.rank,
            distance=found.distance,
            similarity=found.similarity,
            shared=list(found.shared),
            regions=Regions(query=regions.query, image=regions.image) if regions else None,
        )
