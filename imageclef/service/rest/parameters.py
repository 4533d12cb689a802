"""What several routes take, and how they refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, File, Form, HTTPException, Path, Query, UploadFile
from fastapi import Request as HttpRequest
from pydantic import AfterValidator

from imageclef.data.ids import composed
from imageclef.errors import ConfigError
from imageclef.retrieval.filters import Filters, parse_where
from imageclef.retrieval.similar import Join
from imageclef.service.answers import Refusal
from imageclef.service.pool import Pool
from imageclef.service.reload import Archives
from imageclef.service.served.archive import MOST_HITS, Archive, Request

MOST_IMAGES = 8
"""Of one question."""
MOST_FILTERS = 32
"""Of a kind, in one question."""

Responses = dict[int | str, dict[str, Any]]
BUSY: Responses = {503: {"model": Refusal, "description": "Busy; Retry-After says when to try again."}}
TOO_LARGE: Responses = {
    408: {"model": Refusal, "description": "The request arrived too slowly."},
    413: {"model": Refusal, "description": "The request is too large."},
    503: BUSY[503],
}
UNUSABLE: Responses = {422: {"model": Refusal, "description": "A value or an upload is invalid; why."}}
UNKNOWN: Responses = {404: {"model": Refusal, "description": "No such image, concept or profile."}}


@dataclass(frozen=True)
class Service:
    """What the routes answer with.

    Attributes:
        archives: what is served.
        searching: threads for questions.
        drawing: threads for pictures, which no question holds up.
        body_bytes: that an upload may have, for the page to know.
    """

    archives: Archives
    searching: Pool
    drawing: Pool
    body_bytes: int


async def _service(request: HttpRequest) -> Service:
    service: Service = request.app.state.service
    return service


This = Annotated[Service, Depends(_service)]


async def _chosen(
    service: This,
    profile: Annotated[
        str | None, Query(max_length=100, description="Feature sets to search by, from `GET /profiles`.")
    ] = None,
) -> Archive:
    return await service.archives.of(profile)


Chosen = Annotated[Archive, Depends(_chosen)]
"""The archive of the profile that a request names: the same one until it is answered."""

ImageId = Annotated[
    str, Path(description="Of an image of the index.", max_length=400), AfterValidator(composed)
]
K = Annotated[int, Form(ge=1, le=MOST_HITS, description="Answers wanted.")]
_Images = Annotated[list[UploadFile], File(description="Image files.", max_length=MOST_IMAGES)]
_Ids = Annotated[
    list[Annotated[str, AfterValidator(composed)]],
    Form(description="Images of the index.", max_length=MOST_IMAGES),
]
_With = Annotated[
    list[str], Form(alias="with", description="Concepts that answers have.", max_length=MOST_FILTERS)
]
_Without = Annotated[
    list[str], Form(alias="without", description="Concepts that they do not have.", max_length=MOST_FILTERS)
]
_Where = Annotated[
    list[str],
    Form(description="`column=value` that answers have, from `GET /columns`.", max_length=MOST_FILTERS),
]
_Joined = Annotated[Join, Form(description="Near the mean of several images, or near any of them.")]


async def _asked(
    archive: Chosen,
    image: _Images = [],  # noqa: B006  # FastAPI copies defaults
    id: _Ids = [],  # noqa: B006
    k: K = 20,
    required: _With = [],  # noqa: B006
    forbidden: _Without = [],  # noqa: B006
    where: _Where = [],  # noqa: B006
    join: _Joined = "mean",
) -> Request:
    if not image and not id:
        raise HTTPException(
            422, "nothing was asked; expected `image`, a file, or `id`, an image of the index"
        )
    require(archive, id)
    try:
        filters = Filters(tuple(required), tuple(forbidden), tuple(map(parse_where, where)))
    except ConfigError as error:
        raise HTTPException(422, str(error)) from None
    return Request([upload.file for upload in image], id, k, filters, join)


Question = Annotated[Request, Depends(_asked)]
"""What a form asks."""


def require(archive: Archive, ids: Sequence[str]) -> None:
    """Refuse images that are not in the index.

    Raises:
        HTTPException: 404, for the first of them.
    """
    if missing := next((one for one in ids if not archive.index.rows_named(one)), None):
        raise HTTPException(404, f"no image '{missing[:100]}' in the index")
