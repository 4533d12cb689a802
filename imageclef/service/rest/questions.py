"""The routes that search and detect; and the search as a PACS query plugin takes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, File, Form, HTTPException, Query, Request, Response, UploadFile

from imageclef.service.answers import Detected, Hit, PluginHit, Refusal, Similar
from imageclef.service.rest.parameters import (
    BUSY,
    TOO_LARGE,
    UNKNOWN,
    UNUSABLE,
    Chosen,
    Question,
    Responses,
    This,
    require,
)
from imageclef.service.served.archive import MOST_HITS
from imageclef.service.served.archive import Request as Asked
from imageclef.service.served.preview import preview

router = APIRouter(responses=UNKNOWN | UNUSABLE | BUSY)

_NOT_FITTED: Responses = {409: {"model": Refusal, "description": "There is no classifier."}}


@router.post("/similar", tags=["questions"], responses=TOO_LARGE)
async def similar(
    service: This,
    archive: Chosen,
    asked: Question,
    why: Annotated[bool, Form(description="Say where answers and the first query agree.")] = False,
) -> Similar:
    """The images most like an upload, or like an indexed image, which itself is left out."""
    return await service.searching.run(archive.similar, replace(asked, why=why))


@router.post("/concepts", tags=["questions"], responses=TOO_LARGE | _NOT_FITTED)
async def detect(
    service: This,
    archive: Chosen,
    image: Annotated[UploadFile, File(description="An image file.")],
) -> Detected:
    """Detect the concepts of an upload."""
    if archive.detector is None:
        raise HTTPException(409, "there is no classifier of these features; `imageclef classify` makes one")
    return await service.searching.run(archive.detect, image.file)


@router.post(
    "/preview",
    tags=["questions"],
    response_class=Response,
    responses=TOO_LARGE | {200: {"content": {"image/jpeg": {}}, "description": "The image."}},
)
async def preview_upload(
    service: This,
    archive: Chosen,
    image: Annotated[UploadFile, File(description="An image file.")],
) -> Response:
    """A small JPEG of an upload, for browsers that cannot draw it."""
    drawn = await service.drawing.run(preview, image.file, archive.encoder.reading)
    return Response(drawn, media_type="image/jpeg")


@router.get("/plugin", tags=["plugin"])
async def plugin_by_id(
    request: Request,
    service: This,
    archive: Chosen,
    id: Annotated[str, Query(description="An image of the index.", max_length=400)],
    k: Annotated[int, Query(ge=1, le=MOST_HITS)] = 20,
) -> list[PluginHit]:
    """The images most like an indexed image, as a PACS query plugin takes them."""
    require(archive, [id])
    found = await service.searching.run(archive.similar, Asked([], [id], k))
    return [_plugin_hit(request, hit) for hit in found.hits]


@router.post("/plugin", tags=["plugin"], responses=TOO_LARGE)
async def plugin_by_upload(
    request: Request, service: This, archive: Chosen, asked: Question
) -> list[PluginHit]:
    """The images most like an upload, as a PACS query plugin takes them."""
    found = await service.searching.run(archive.similar, asked)
    return [_plugin_hit(request, hit) for hit in found.hits]


def _plugin_hit(request: Request, hit: Hit) -> PluginHit:
    address = request.url_for("image", image_id=hit.id)
    if profile := request.query_params.get("profile"):
        address = address.include_query_params(profile=profile)
    return PluginHit(
        uri=str(address),
        # Cosine similarity rises by itself; of a distance, its inverse, so that 1 is the same image.
        score=1 / (1 + hit.distance) if hit.similarity is None else hit.similarity,
        extra={
            "id": hit.id,
            "rank": str(hit.rank),
            "concepts": ";".join(one.concept for one in hit.concepts),
        },
    )
