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
    """An indexed image and its concepts."""

    id: str
    concepts: list[Concept]


class Pictures(Answer):
    """Some of the indexed images; `total` counts all of them."""

    images: list[Picture]
    total: int


class Hit(Picture):
    """An image that was found.

    `distance` falls with likeness: Euclidean, or 1 - cosine similarity. `similarity` is the cosine
    similarity, null where the index is Euclidean. `shared` are the concepts it has in common with the query.
    """

    rank: int
    distance: float
    similarity: float | None
    shared: list[str]


class Query(Answer):
    """What was asked: how many uploads, which indexed images, and the concepts of the latter."""

    uploads: int
    ids: list[str]
    concepts: list[Concept]


class Similar(Answer):
    """The images that are most like the query, nearest first; fewer than asked for where fewer pass."""

    query: Query
    metric: Literal["l2", "cosine"]
    hits: list[Hit]


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
    """The map of the collection: a place between -1 and 1 for each image shown, out of `total`."""

    method: str
    explained: tuple[float, float]
    total: int
    ids: list[str]
    x: list[float]
    y: list[float]


class MapPlaces(Answer):
    """Which points of the map have a concept, counted from 0."""

    concept: str
    places: list[int]


class Collection(Answer):
    """What is indexed; `detects` says whether `POST /concepts` is answered."""

    images: int
    metric: Literal["l2", "cosine"]
    detects: bool
    body_bytes: int


class Health(Answer):
    """That the service answers, and its version."""

    status: Literal["ok"]
    version: str


class Token(BaseModel):
    """The token that the service was started with."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=1024)
