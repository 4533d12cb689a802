"""The REST interface: what is asked how, and what it is answered with."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, HTTPException, Path, Query, Request, Response, UploadFile

from imageclef.errors import DataError
from imageclef.service.answers import (
    Collection,
    Concepts,
    Detected,
    MapPlaces,
    MapPoints,
    Picture,
    Pictures,
    PluginHit,
    Refusal,
    Similar,
)
from imageclef.service.archive import Archive, Asked
from imageclef.service.gallery import SIDES
from imageclef.service.search import MOST_HITS, Join
from imageclef.service.workers import Pool

MOST_IMAGES = 8
"""Of one question."""

_Responses = dict[int | str, dict[str, Any]]
_BUSY: _Responses = {503: {"model": Refusal, "description": "Too much to do; Retry-After says when again."}}
_TOO_LARGE: _Responses = {413: {"model": Refusal, "description": "The upload has too many bytes."}}
_UNUSABLE: _Responses = {422: {"model": Refusal, "description": "A value or an upload cannot be used; why."}}
_UNKNOWN: _Responses = {404: {"model": Refusal, "description": "No such image, or no such concept."}}

Ids = Annotated[list[str], Form(description="Images of the index.", max_length=MOST_IMAGES)]
Uploads = Annotated[list[UploadFile], File(description="Image files.", max_length=MOST_IMAGES)]
K = Annotated[int, Form(ge=1, le=MOST_HITS, description="Answers wanted.")]
Required = Annotated[list[str], Form(alias="with", description="Concepts that answers have.", max_length=32)]
Forbidden = Annotated[
    list[str], Form(alias="without", description="Concepts that they do not have.", max_length=32)
]
Joined = Annotated[Join, Form(description="Near the mean of several images, or near any of them.")]
ImageId = Annotated[str, Path(description="Of an image of the index.", max_length=400)]


def routes(archive: Archive, searching: Pool, drawing: Pool, body_bytes: int) -> APIRouter:
    """The routes that answer from an archive.

    Args:
        archive: what is served.
        searching: threads for questions.
        drawing: threads for pictures, which no question holds up.
        body_bytes: that an upload may have, for the page to know.
    """
    router = APIRouter()
    _collection_routes(router, archive, drawing, body_bytes)
    _question_routes(router, archive, searching)
    _plugin_routes(router, archive, searching)
    return router


def _collection_routes(router: APIRouter, archive: Archive, drawing: Pool, body_bytes: int) -> None:
    def known(image_id: str) -> str:
        _require(archive, [image_id])
        return image_id

    @router.get("/collection", tags=["collection"])
    async def collection() -> Collection:
        """What is indexed, and what can be asked."""
        return Collection(
            images=len(archive.searcher),
            metric=archive.searcher.metric,
            detects=archive.detector is not None,
            body_bytes=body_bytes,
        )

    @router.get("/images", tags=["collection"], responses=_UNUSABLE)
    async def images(
        q: Annotated[str, Query(max_length=100, description="Part of an id.")] = "",
        limit: Annotated[int, Query(ge=1, le=MOST_HITS)] = 24,
        sample: Annotated[bool, Query(description="Evenly over the index, not its first ones.")] = False,
    ) -> Pictures:
        """List indexed images."""
        found = archive.ids(q, limit, sample)
        return Pictures(images=[archive.picture(one) for one in found], total=len(archive.searcher))

    @router.get(
        "/images/{image_id}",
        tags=["collection"],
        response_class=Response,
        responses={
            200: {"content": {"image/png": {}, "image/jpeg": {}}, "description": "The picture."},
            **(_UNKNOWN | _UNUSABLE | _BUSY),
        },
    )
    async def image(
        image_id: ImageId,
        size: Annotated[
            int | None, Query(description=f"Longest side, rounded up to one of {SIDES}.", ge=1, le=SIDES[-1])
        ] = None,
    ) -> Response:
        """The pixels of an image as a PNG, or a thumbnail as a JPEG; encoded anew, without any metadata."""
        known(image_id)
        try:
            if size is None:
                data, kind = await drawing.run(archive.gallery.original, image_id), "image/png"
            else:
                side = next(side for side in SIDES if side >= size)
                data, kind = await drawing.run(archive.gallery.thumbnail, image_id, side), "image/jpeg"
        except DataError as error:
            raise HTTPException(404, str(error)) from None
        return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})

    @router.get("/images/{image_id}/facts", tags=["collection"], responses=_UNKNOWN | _UNUSABLE)
    async def facts(image_id: ImageId) -> Picture:
        """The concepts of an image."""
        return archive.picture(known(image_id))

    @router.get("/concepts", tags=["collection"])
    async def concepts() -> Concepts:
        """The concepts that answers can be filtered by."""
        return Concepts(concepts=archive.counted())

    @router.get("/map", tags=["collection"], responses=_BUSY)
    async def map_points() -> MapPoints:
        """A place for each image: its features on their first two principal components."""
        return await drawing.run(archive.map_points)

    @router.get("/map/{concept}", tags=["collection"], responses=_UNKNOWN | _UNUSABLE | _BUSY)
    async def map_places(concept: Annotated[str, Path(max_length=100)]) -> MapPlaces:
        """Which points of the map have a concept."""
        try:
            return MapPlaces(concept=concept, places=await drawing.run(archive.map_places, concept))
        except DataError as error:
            raise HTTPException(404, str(error)) from None


def _question_routes(router: APIRouter, archive: Archive, searching: Pool) -> None:
    @router.post("/similar", tags=["questions"], responses=_TOO_LARGE | _UNKNOWN | _UNUSABLE | _BUSY)
    async def similar(
        image: Uploads = [],  # noqa: B006  # FastAPI copies defaults
        id: Ids = [],  # noqa: B006
        k: K = 20,
        required: Required = [],  # noqa: B006
        forbidden: Forbidden = [],  # noqa: B006
        join: Joined = "mean",
    ) -> Similar:
        """The images most like an upload, or like an indexed image, which itself is left out."""
        asked = _asked(archive, image, id, k, required, forbidden, join)
        return await searching.run(archive.similar, asked)

    not_fitted: _Responses = {409: {"model": Refusal, "description": "There is no classifier."}}

    @router.post("/concepts", tags=["questions"], responses=_TOO_LARGE | not_fitted | _UNUSABLE | _BUSY)
    async def detect(
        image: Annotated[UploadFile, File(description="An image file.")],
    ) -> Detected:
        """Detect the concepts of an upload."""
        if archive.detector is None:
            raise HTTPException(
                409, "there is no classifier of these features; `imageclef classify` makes one"
            )
        return await searching.run(archive.detect, image.file)


def _plugin_routes(router: APIRouter, archive: Archive, searching: Pool) -> None:
    async def answer(request: Request, asked: Asked) -> list[PluginHit]:
        found = await searching.run(archive.similar, asked)
        return [
            PluginHit(
                uri=str(request.url_for("image", image_id=hit.id)),
                # Cosine similarity rises by itself; of a distance, its inverse, so that 1 is the same image.
                score=1 / (1 + hit.distance) if hit.similarity is None else hit.similarity,
                extra={
                    "id": hit.id,
                    "rank": str(hit.rank),
                    "concepts": ";".join(one.concept for one in hit.concepts),
                },
            )
            for hit in found.hits
        ]

    @router.get("/plugin", tags=["plugin"], responses=_UNKNOWN | _UNUSABLE | _BUSY)
    async def plugin_by_id(
        request: Request,
        id: Annotated[str, Query(description="An image of the index.", max_length=400)],
        k: Annotated[int, Query(ge=1, le=MOST_HITS)] = 20,
    ) -> list[PluginHit]:
        """The images most like an indexed image, as a PACS query plugin takes them."""
        return await answer(request, _asked(archive, [], [id], k))

    @router.post("/plugin", tags=["plugin"], responses=_TOO_LARGE | _UNKNOWN | _UNUSABLE | _BUSY)
    async def plugin_by_upload(
        request: Request,
        image: Uploads = [],  # noqa: B006
        id: Ids = [],  # noqa: B006
        k: K = 20,
        required: Required = [],  # noqa: B006
        forbidden: Forbidden = [],  # noqa: B006
        join: Joined = "mean",
    ) -> list[PluginHit]:
        """The images most like an upload, as a PACS query plugin takes them."""
        return await answer(request, _asked(archive, image, id, k, required, forbidden, join))


def _asked(archive: Archive, uploads: list[UploadFile], ids: list[str], *rest: Any) -> Asked:
    if not uploads and not ids:
        raise HTTPException(
            422, "nothing was asked; expected `image`, a file, or `id`, an image of the index"
        )
    _require(archive, ids)
    return Asked([upload.file for upload in uploads], ids, *rest)


def _require(archive: Archive, ids: list[str]) -> None:
    if missing := next((one for one in ids if one not in archive.searcher), None):
        raise HTTPException(404, f"no image '{missing[:100]}' in the index")
