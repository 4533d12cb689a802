"""What is similar to an image: queries, filters, hits, shared concepts, and why.

The command line and the service ask here and format what they get. A query consists of indexed images, of
files or uploads, or of both. Its concepts are, in this order:

1. those of the concept list, for indexed images and for files whose bytes are those of a listed image;
2. those that the classifier detects in the other files, where there is a classifier of these features;
3. where there is neither, those that the hits vote for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import ConfigError
from imageclef.retrieval.filters import NO_FILTERS, Filters, IndexedConcepts, mask_of
from imageclef.retrieval.index import Index, IndexedImage
from imageclef.retrieval.vectors import as_squares, prepared

if TYPE_CHECKING:  # torch takes seconds to load, and a query by indexed images does without
    import pandas as pd

    from imageclef.data.annotations import Annotations, ImageKey
    from imageclef.features.encoding import Encoded
    from imageclef.features.regions import Regions

Join = Literal["mean", "best"]
Pixels = NDArray[np.uint8]

MOST_EXPLAINED = 48
"""Hits of one query whose regions are computed, the nearest ones."""

EXPLAINED = (
    "Warm regions add most to the similarity of the query and an image; every image has its own scale."
)


@dataclass(frozen=True)
class Query:
    """What is asked.

    Attributes:
        images: files or uploads.
        names: of indexed images, which are not among the hits.
        k: hits wanted.
        join: `mean` searches near the mean of the images (for the cosine, of their vectors at length 1);
            `best` takes each row as near as it is to the nearest of the images.
        filters: what hits must be.
        leave_out_same: whether rows at distance 0 from a query are left out.
        why: whether regions are computed.
    """

    images: Sequence[Encoded] = ()
    names: Sequence[str] = ()
    k: int = 10
    join: Join = "mean"
    filters: Filters = NO_FILTERS
    leave_out_same: bool = False
    why: bool = False


@dataclass(frozen=True)
class Agreement:
    """Grids over a query and a hit, from 0 to 1: 1 where the two agree most."""

    query: list[list[float]]
    image: list[list[float]]


@dataclass(frozen=True)
class Hit:
    """A row that was found.

    Attributes:
        rank: from 1.
        row: of the index.
        image: which image it is.
        name: its id, or COLLECTION/ID where several collections have the id.
        distance: Euclidean, or 1 - cosine similarity.
        similarity: the cosine similarity; None for a Euclidean index.
        concepts: of the image.
        shared: concepts of the query that the image has, in the order of the query.
        regions: where they agree; None unless it was asked and can be said.
    """

    rank: int
    row: int
    image: IndexedImage
    name: str
    distance: float
    similarity: float | None
    concepts: tuple[str, ...]
    shared: tuple[str, ...]
    regions: Agreement | None = None


@dataclass(frozen=True)
class Similar:
    """The hits of a query.

    Attributes:
        hits: the nearest first.
        concepts: of the query.
        concepts_from: where these come from, in words.
        explained: what the regions are, or why there are none; None unless it was asked.
    """

    hits: tuple[Hit, ...]
    concepts: tuple[str, ...]
    concepts_from: str
    explained: str | None = None


@dataclass(frozen=True)
class SimilaritySearch:
    """An index and what is known of its images.

    Attributes:
        index: that is searched.
        annotations: of the images of every collection.
        listed: images of collections by the digest of their file.
        detect: finds the concepts of an encoded image; it returns None where there is no classifier.
        regions: the regions of these features, or why there are none.
        pixels: an indexed image at a learner's size and mode; None where its file cannot be read.
    """

    index: Index
    annotations: Annotations
    listed: Callable[[], Mapping[str, ImageKey]] = dict
    detect: Callable[[Encoded], Sequence[str] | None] = lambda image: None
    regions: Callable[[], Regions | str] = lambda: "there is no learner"
    pixels: Callable[[int, int, Literal["rgb", "grey"]], Pixels | None] = lambda row, size, mode: None
    shown_columns: pd.DataFrame | None = field(default=None, repr=False)

    @cached_property
    def concepts(self) -> IndexedConcepts:
        """The concepts of the index."""
        return IndexedConcepts(self.index, self.annotations)

    @cached_property
    def metadata(self) -> pd.DataFrame | None:
        """The columns to filter by, a row for each of the index: all, or those that may be shown."""
        if self.shown_columns is not None:
            return self.shown_columns
        return self.annotations.metadata_of([one.key for one in self.index.images])

    def search(self, query: Query) -> Similar:
        """Find the images that are most similar to a query; fewer than k where fewer pass the filters.

        Raises:
            ConfigError: nothing is asked, or there is no such way to join.
            DataError: an image, a concept, a column or a value is not in the index.
        """
        if query.join not in get_args(Join):
            raise ConfigError(f"join = '{query.join}'; expected one of {', '.join(get_args(Join))}")
        if not query.images and not query.names:
            raise ConfigError("nothing is asked; expected an image file, or the id of an indexed image")
        rows = self.index.rows_of(query.names)
        vectors = np.concatenate(
            [*([self.index.vectors(rows)] if len(rows) else []), *(one.compared for one in query.images)]
        )
        among = self._among(query, rows, vectors)
        distances, found = nearest(self.index, vectors, query.k, query.join, among)
        concepts, source = self._concepts(query, rows, found)
        hits = tuple(
            self._hit(rank, int(row), float(distance), concepts)
            for rank, (row, distance) in enumerate(zip(found, distances, strict=True), start=1)
        )
        if not query.why:
            return Similar(hits, concepts, source)
        regions, explained = self._agreements(query, rows, hits)
        hits = tuple(replace(hit, regions=one) for hit, one in zip(hits, regions, strict=True))
        return Similar(hits, concepts, source, explained)

    def _among(
        self, query: Query, rows: NDArray[np.int64], vectors: NDArray[np.float32]
    ) -> NDArray[np.bool_] | None:
        metadata = self.metadata if query.filters.where else None
        mask = (
            mask_of(query.filters, self.index, self.concepts, metadata)
            if query.filters != NO_FILTERS
            else None
        )
        if mask is None and not len(rows) and not query.leave_out_same:
            return None
        mask = np.ones(len(self.index), dtype=np.bool_) if mask is None else mask
        mask[rows] = False
        if query.leave_out_same:
            mask[_same(self.index, vectors, mask)] = False
        return mask

    def _hit(self, rank: int, row: int, measured: float, wanted: Sequence[str]) -> Hit:
        cosine = self.index.metric == "cosine"
        own = self.concepts.of_row[row]
        return Hit(
            rank,
            row,
            self.index.images[row],
            self.index.names[row],
            1 - measured if cosine else measured,
            measured if cosine else None,
            own,
            tuple(concept for concept in wanted if concept in own),
        )

    def _concepts(
        self, query: Query, rows: NDArray[np.int64], found: NDArray[np.int64]
    ) -> tuple[tuple[str, ...], str]:
        """The concepts of a query, and where they come from."""
        concepts: list[str] = []
        sources: dict[str, None] = {}
        keys = [self.index.images[row].key for row in rows.tolist()]
        listed = self.listed() if query.images else {}
        for key in (*keys, *(listed.get(image.digest) for image in query.images)):
            if key is not None and key in self.annotations.concepts:
                concepts += self.annotations.concepts[key]
                sources[f"the concept list of {key.collection}"] = None
        for image in query.images:
            known = listed.get(image.digest) in self.annotations.concepts
            if not known and (detected := self.detect(image)) is not None:
                concepts += detected
                sources["the classifier"] = None
        if sources:
            return tuple(dict.fromkeys(concepts)), " and ".join(sources)
        return self._voted(found), "the vote of its neighbors"

    def _voted(self, found: NDArray[np.int64]) -> tuple[str, ...]:
        """The concepts that most hits have, as many as a hit has on average."""
        from imageclef.data.vocabulary import Vocabulary
        from imageclef.retrieval.voting import most_frequent

        lists = [self.concepts.of_row[row] for row in found.tolist()]
        if not any(lists):
            return ()
        order = {concept: len(rows) for concept, rows in self.concepts.rows_of.items()}
        vocabulary = Vocabulary(tuple(order), tuple(order.values()))
        voted = most_frequent(np.arange(len(lists))[None], vocabulary.labels(lists), None)
        return tuple(vocabulary.concepts_of(voted)[0])

    def _agreements(
        self, query: Query, rows: NDArray[np.int64], hits: Sequence[Hit]
    ) -> tuple[list[Agreement | None], str]:
        """Return the regions in which each hit agrees with the query's first image."""
        found: list[Agreement | None] = [None] * len(hits)
        regions = self.regions()
        if isinstance(regions, str):
            return found, f"Regions cannot be shown ({regions}): the concepts that are shared can."
        first = (
            query.images[0].at(*regions.size) if query.images else self.pixels(int(rows[0]), *regions.size)
        )
        others = {hit.rank - 1: self.pixels(hit.row, *regions.size) for hit in hits[:MOST_EXPLAINED]}
        seen = {place: pixels for place, pixels in others.items() if pixels is not None}
        if first is not None and seen:
            maps = regions.between(first, list(seen.values()))
            for place, of_query, of_image in zip(seen, *maps, strict=True):
                found[place] = Agreement(_grid(of_query), _grid(of_image))
        return found, EXPLAINED


def nearest(
    index: Index, vectors: NDArray[np.float32], k: int, join: Join, among: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find the k rows nearest to several vectors together.

    Returns:
        Distances as `Index.search` returns them, and rows, (k,), the nearest first.
    """
    if join == "mean":
        vectors = prepared(vectors, index.metric, "the query").astype(np.float64)
        distances, rows = index.search(vectors.mean(axis=0, keepdims=True).astype(np.float32), k, among)
        return distances[0], rows[0]
    distances, rows = index.search(vectors, k, among)
    # The k nearest to any of the vectors are among the k nearest to each.
    squares, flat = as_squares(distances, index.metric).ravel(), rows.ravel()
    order = np.lexsort((flat, squares))
    _, first = np.unique(flat[order], return_index=True)
    kept = order[np.sort(first)][:k]
    return distances.ravel()[kept], flat[kept]


def _same(index: Index, vectors: NDArray[np.float32], among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The rows at distance 0 from one of the vectors."""
    allowed, k = int(np.count_nonzero(among)), 16
    while allowed:
        distances, rows = index.search(vectors, k, among)
        same = (distances if index.metric == "l2" else 1 - distances) <= 0
        if k >= allowed or not same[:, -1].any():
            return np.unique(rows[same])
        k *= 4
    return np.empty(0, dtype=np.int64)


def _grid(shares: NDArray[np.float32]) -> list[list[float]]:
    """Scale shares (h, w) so that the largest is 1; what speaks against the similarity is 0."""
    warm = np.maximum(shares.astype(np.float64), 0)
    most = warm.max()
    return (warm / most if most > 0 else warm).round(3).tolist()  # type: ignore[no-any-return]
