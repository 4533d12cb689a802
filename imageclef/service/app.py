"""The application: routes, the page, and every error as a sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Match
from starlette.types import Scope

from imageclef.errors import DataError
from imageclef.images.bulk import cores
from imageclef.service.answers import Refusal
from imageclef.service.auth import Auth
from imageclef.service.hosts import Hosts
from imageclef.service.limits import Limits
from imageclef.service.metrics import Metrics, Reading
from imageclef.service.middleware import Middleware
from imageclef.service.page.document import StaticFile, page, static_files
from imageclef.service.pool import Busy, Pool
from imageclef.service.reload import Archives, NoProfile, Unopened
from imageclef.service.rest import collection, operations, questions
from imageclef.service.rest.parameters import Service

_ANYWHERE: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "The host is unknown, or the request is malformed."},
    401: {"model": Refusal, "description": "A valid token is required."},
    403: {"model": Refusal, "description": "The request comes from another site."},
}
_SENTENCES = {404: "not found", 405: "method not allowed"}


def create_app(archives: Archives, auth: Auth, hosts: Hosts, limits: Limits | None = None) -> FastAPI:
    """The service over some archives.

    Args:
        archives: what is served.
        auth: the token and the sessions.
        hosts: the hosts and origins that are answered.
        limits: how much is taken on at once.
    """
    limits = limits or Limits()
    searching = Pool("search", cores(), limits.searches)
    drawing = Pool("pictures", 2, limits.pictures)
    metrics = Metrics(
        Reading("imageclef_images", "Images in the index.", lambda: _images(archives)),
        Reading("imageclef_searches", "Searches running and waiting.", lambda: searching.jobs),
        Reading("imageclef_pictures", "Images being encoded and waiting.", lambda: drawing.jobs),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        for closed in (searching, drawing, archives):
            closed.close()

    # Its pages of documentation load scripts from elsewhere; the description itself is at /openapi.json.
    app = FastAPI(
        title="imageclef",
        description="Similarity search and concept detection in medical images.",
        version=version("imageclef"),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=_ANYWHERE,
    )
    app.state.service = Service(archives, searching, drawing, limits.body_bytes)
    for router in (collection.router, questions.router, operations.routes(auth, metrics)):
        app.include_router(router)
    _page_routes(app)
    _errors(app)
    app.add_middleware(Middleware, auth=auth, hosts=hosts, limits=limits, metrics=metrics)
    return app


def _images(archives: Archives) -> int:
    archive = archives.now()
    return len(archive.index) if archive else 0


def _page_routes(app: FastAPI) -> None:
    html, files = page(), static_files()

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(html)

    @app.get("/static/{name}", include_in_schema=False)
    async def static(request: Request, name: str) -> Response:
        file: StaticFile | None = files.get(name)
        if file is None:
            raise HTTPException(404)
        headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.data, media_type=file.media_type, headers=headers)


def _errors(app: FastAPI) -> None:
    """Each as JSON with a sentence; what is not the visitor's fault reaches the middleware."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        said_nothing = error.status_code in _SENTENCES and error.detail in ("Not Found", "Method Not Allowed")
        sentence = _SENTENCES[error.status_code] if said_nothing else error.detail
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods_of(app, request.scope))
        return _answer(error.status_code, sentence, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return _answer(422, f"{where}: {str(first['msg']).lower()}")

    @app.exception_handler(DataError)
    async def unusable(request: Request, error: DataError) -> JSONResponse:
        return _answer(422, str(error))

    @app.exception_handler(NoProfile)
    async def no_profile(request: Request, error: NoProfile) -> JSONResponse:
        return _answer(404, "there is no such profile, or it has no index; expected one of GET /profiles")

    @app.exception_handler(Unopened)
    async def unopened(request: Request, error: Unopened) -> JSONResponse:
        sentence = "the index of this profile cannot be opened; the log of the service says why"
        return _answer(503, sentence, {"Retry-After": "60"})

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> JSONResponse:
        return _answer(503, "the service is busy; try again in a second", {"Retry-After": "1"})


def _answer(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status, headers)


def _methods_of(app: FastAPI, scope: Scope) -> list[str]:
    """The methods that a path is answered with; HEAD wherever GET is."""
    methods = {
        method
        for method in ("GET", "POST", "DELETE")
        for route in app.routes
        if route.matches({**scope, "method": method})[0] is Match.FULL
    }
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
