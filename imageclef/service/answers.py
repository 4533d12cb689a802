"""What the service answers, as JSON: the shapes that its OpenAPI description shows."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """The base of every answer."""

    model_config = ConfigDict(frozen=True)


class Refusal(Answer):
    """Why there is no answer, in a sentence."""

    detail: str


class Concept(Answer):
    """A concept and its name, which is the concept itself where no table of names was given."""

    concept: str = Field(examples=["C0040405"])
    name: str = Field(examples=["X-Ray Computed Tomography"])


class CountedConcept(Concept):
    """A concept of the collection; `images` is the number of indexed images that have it."""

    images: int


class Concepts(Answer):
    """The concepts of the indexed images, by falling number of images."""

    concepts: list[CountedConcept]


class Picture(Answer):
    """An indexed image and its concepts; `id` is COLLECTION/ID where several collections have the id."""

    id: str
    collection: str
    concepts: list[Concept]


class Pictures(Answer):
    """Some of the indexed images; `total` counts all of them."""

    images: list[Picture]
    total: int


class Regions(Answer):
    """Where the query and an image agree: two grids of numbers between 0 and 1, by row from the top.

    Either spans the whole picture; 1 is where it adds most to the similarity, 0 where nothing or less.
    """

    query: list[list[float]] = Field(examples=[[[0.0, 0.2], [0.1, 1.0]]])
    image: list[list[float]] = Field(examples=[[[0.0, 1.0], [0.3, 0.4]]])


class Hit(Picture):
    """An image that was found.

    `distance` falls with likeness: Euclidean, or 1 - cosine similarity. `similarity` is the cosine
    similarity, null where the index is Euclidean. `shared` are the concepts it has in common with the query.
    `regions` is null unless `why` was asked, and where `explained` says so.
    """

    rank: int
    distance: float
    similarity: float | None
    shared: list[str]
    regions: Regions | None


class Query(Answer):
    """What was asked: how many uploads, which indexed images, and their concepts.

    `concepts_from` says where these come from: concept lists, the classifier, or the vote of the hits.
    """

    uploads: int
    ids: list[str]
    concepts: list[Concept]
    concepts_from: str


class Similar(Answer):
    """The images that are most like the query, nearest first; fewer than asked for where fewer pass.

    `state` is that of the collection. `explained` says what the regions are, or why there are none; null
    unless `why` was asked.
    """

    query: Query
    metric: Literal["l2", "cosine"]
    hits: list[Hit]
    state: str
    explained: str | None


class PluginHit(Answer):
    """A result in the shape that a PACS query plugin takes; `score` rises with likeness."""

    uri: str
    score: float
    extra: dict[str, str]


class DetectedConcept(Concept):
    """A concept and its probability.

    `threshold` is null where the classifier's rule has no cut (it then takes a number of the highest).
    """

    score: float
    threshold: float | None
    detected: bool


class Detected(Answer):
    """The concepts of an upload: those detected first, then by falling score.

    `copied` says that an almost equal training image was found, whose concepts are the answer.
    """

    rule: str
    copied: bool
    concepts: list[DetectedConcept]


class MapPoints(Answer):
    """The map of the collection: a place between -1 and 1 for each image shown, out of `total`.

    `explained` are the shares of the variance on either axis.
    """

    method: str
    explained: list[float] = Field(min_length=2, max_length=2)
    total: int
    ids: list[str]
    x: list[float]
    y: list[float]


class MapPlaces(Answer):
    """Which points of the map have a concept, counted from 0."""

    concept: str
    places: list[int]


class Value(Answer):
    """A value of a column, and the number of indexed images that have it."""

    value: str = Field(examples=["CT"])
    images: int


class Column(Answer):
    """A column of the metadata and its values, the most frequent first."""

    column: str = Field(examples=["modality"])
    values: list[Value]


class Columns(Answer):
    """What answers can be narrowed by; columns with many values, and those that identify, are not shown."""

    columns: list[Column]


class Profile(Answer):
    """Feature sets that are searched together, and their weights; the name is empty for the one without."""

    name: str
    features: list[str]
    weights: list[float]


class Profiles(Answer):
    """What `?profile=NAME` can be, the one that is taken without it first."""

    profiles: list[Profile]


class Collection(Answer):
    """What is indexed; `detects` says whether `POST /concepts` is answered.

    `state` changes whenever the index does.
    """

    images: int
    metric: Literal["l2", "cosine"]
    detects: bool
    body_bytes: int
    state: str


class Health(Answer):
    """That the service answers, and its version."""

    status: Literal["ok"]
    version: str


class Token(BaseModel):
    """The token that the service was started with."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=1024)
