"""The routes of the service itself: health, metrics, sessions."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Literal, TypedDict

from fastapi import APIRouter, Body, Query, Request, Response

from imageclef.service.answers import Health, Token
from imageclef.service.auth import COOKIE, Auth
from imageclef.service.metrics import CONTENT_TYPE, Metrics
from imageclef.service.rest.parameters import TOO_LARGE, UNUSABLE


class _Flags(TypedDict):
    path: str
    httponly: bool
    samesite: Literal["strict"]
    secure: bool


def routes(auth: Auth, metrics: Metrics) -> APIRouter:
    """The routes of one service."""
    router = APIRouter(tags=["service"])

    @router.get("/health")
    async def health() -> Health:
        """Whether the service answers; needs no token."""
        return Health(status="ok", version=version("imageclef"))

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."}},
    )
    async def prometheus() -> Response:
        """Counts and times of requests."""
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    @router.post("/session", status_code=204, responses=UNUSABLE | TOO_LARGE)
    async def open_session(request: Request, given: Annotated[Token, Body()]) -> Response:
        """Exchange the token for a cookie, as the page does; the session ends after some hours."""
        response = Response(status_code=204)
        if auth.required:
            value = await auth.open_session(given.token)
            response.set_cookie(COOKIE, value, auth.session_seconds, **_cookie_flags(request))
        return response

    @router.delete("/session", status_code=204, responses=UNUSABLE)
    async def close_session(
        request: Request,
        all: Annotated[bool, Query(description="End every session, not only this one.")] = False,
    ) -> Response:
        """End the session of this browser, or all sessions."""
        if all and not auth.allows(request.headers):
            await auth.refuse(request.headers)
        if all:
            auth.close_sessions()
        else:
            auth.close_session(request.headers)
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, **_cookie_flags(request))
        return response

    return router


def _cookie_flags(request: Request) -> _Flags:
    """For this service only, and over TLS only where it is reached over TLS."""
    path = request.scope.get("root_path") or "/"
    return {"path": path, "httponly": True, "samesite": "strict", "secure": request.url.scheme == "https"}
