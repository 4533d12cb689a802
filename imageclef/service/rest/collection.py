"""The routes that show what is there: images, concepts, columns, the map, profiles."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Path, Query, Response

from imageclef.errors import DataError
from imageclef.service.answers import (
    Collection,
    Columns,
    Concepts,
    MapPlaces,
    MapPoints,
    Picture,
    Pictures,
    Profiles,
)
from imageclef.service.rest.parameters import BUSY, UNKNOWN, UNUSABLE, Chosen, ImageId, This, require
from imageclef.service.served.archive import MOST_HITS
from imageclef.service.served.gallery import SIDES, Gallery

router = APIRouter(tags=["collection"], responses=UNKNOWN | UNUSABLE | BUSY)


@router.get("/collection")
async def collection(service: This, archive: Chosen) -> Collection:
    """What is indexed, and what can be asked."""
    return Collection(
        images=len(archive.index),
        metric=archive.index.metric,
        detects=archive.detector is not None,
        body_bytes=service.body_bytes,
        state=archive.state,
    )


@router.get("/profiles")
async def profiles(service: This) -> Profiles:
    """The feature sets that can be searched by, those whose index is there."""
    return Profiles(profiles=list(service.archives.listed()))


@router.get("/images")
async def images(
    archive: Chosen,
    q: Annotated[str, Query(max_length=100, description="Part of an id.")] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_HITS)] = 24,
    sample: Annotated[bool, Query(description="Evenly over the index, not its first ones.")] = False,
) -> Pictures:
    """List indexed images."""
    found = archive.ids(q, limit, sample)
    return Pictures(images=[archive.picture(one) for one in found], total=len(archive.index))


@router.get("/images/{image_id:path}/facts")
async def facts(archive: Chosen, image_id: ImageId) -> Picture:
    """The concepts of an image."""
    require(archive, [image_id])
    return archive.picture(image_id)


@router.get(
    "/images/{image_id:path}",
    response_class=Response,
    responses={
        200: {"content": {"image/png": {}, "image/jpeg": {}}, "description": "The picture."},
        304: {"description": "It has not changed."},
    },
)
async def image(
    service: This,
    archive: Chosen,
    image_id: ImageId,
    size: Annotated[
        int | None,
        Query(description=f"Longest side at most, rounded up to one of {SIDES}.", ge=1, le=SIDES[-1]),
    ] = None,
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """The pixels of an image as a PNG, or a thumbnail as a JPEG; encoded anew, without any metadata."""
    require(archive, [image_id])
    side = None if size is None else next(side for side in SIDES if side >= size)
    try:
        tag, data = await service.drawing.run(_drawn, archive.gallery, image_id, side, if_none_match)
    except DataError as error:
        raise HTTPException(404, str(error)) from None
    # Asked for again each time, since `sync` may put another file in its place.
    headers = {"Cache-Control": "private, no-cache", "ETag": tag}
    if data is None:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="image/jpeg" if side else "image/png", headers=headers)


def _drawn(gallery: Gallery, image_id: str, side: int | None, known: str) -> tuple[str, bytes | None]:
    """A tag and the picture; nothing where the browser knows it."""
    tag = f'"{gallery.tag(image_id)}-{side or "whole"}"'
    if known == tag:
        return tag, None
    return tag, gallery.original(image_id) if side is None else gallery.thumbnail(image_id, side)


@router.get("/concepts")
async def concepts(archive: Chosen) -> Concepts:
    """The concepts that answers can be filtered by."""
    return Concepts(concepts=archive.counted())


@router.get("/columns")
async def columns(archive: Chosen) -> Columns:
    """The columns of metadata that answers can be filtered by, with their values."""
    return Columns(columns=archive.columns())


@router.get("/map")
async def map_points(service: This, archive: Chosen) -> MapPoints:
    """A place for each image: its features on their first two principal components."""
    return await service.drawing.run(archive.map_points)


@router.get("/map/{concept}")
async def map_places(
    service: This, archive: Chosen, concept: Annotated[str, Path(max_length=100)]
) -> MapPlaces:
    """Which points of the map have a concept."""
    try:
        return MapPlaces(concept=concept, places=await service.drawing.run(archive.map_places, concept))
    except DataError as error:
        raise HTTPException(404, str(error)) from None
