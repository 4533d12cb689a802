"""The application: routes, the page, and every error as a sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import Body, FastAPI, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse

from imageclef.data.bulk_decoding import cores
from imageclef.errors import DataError
from imageclef.service.answers import Health, Refusal, Token
from imageclef.service.entry.access import COOKIE, Gate
from imageclef.service.entry.door import Bounds, Door
from imageclef.service.entry.metrics import CONTENT_TYPE, Metrics
from imageclef.service.entry.workers import Busy, Pool
from imageclef.service.page.document import StaticFile, page, static_files
from imageclef.service.rest import collection, questions
from imageclef.service.rest.parameters import Service
from imageclef.service.served.live import Archives, NoProfile, Unopened

_ANYWHERE: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "Another host is named, or the request cannot be read."},
    401: {"model": Refusal, "description": "A token is demanded, and this is not it."},
    403: {"model": Refusal, "description": "The request comes from another site."},
}
_SENTENCES = {404: "there is nothing at this address", 405: "this address is not asked in this way"}


def create_app(archives: Archives, gate: Gate, bounds: Bounds | None = None) -> FastAPI:
    """The service over some archives.

    Args:
        archives: what is served.
        gate: who is answered.
        bounds: how much is taken on.
    """
    bounds = bounds or Bounds()
    searching = Pool("search", cores(), bounds.searches)
    drawing = Pool("pictures", 2, bounds.pictures)
    metrics = Metrics(
        (
            ("imageclef_images", "Images in the index.", lambda: _images(archives)),
            ("imageclef_searches", "Questions at work and waiting.", lambda: searching.jobs),
            ("imageclef_pictures", "Pictures at work and waiting.", lambda: drawing.jobs),
        )
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
    app.state.service = Service(archives, searching, drawing, bounds.body_bytes)
    app.include_router(collection.router)
    app.include_router(questions.router)
    _service_routes(app, gate, metrics)
    _page_routes(app)
    _errors(app)
    app.add_middleware(Door, gate=gate, bounds=bounds, metrics=metrics)
    return app


def _images(archives: Archives) -> int:
    archive = archives.now()
    return len(archive.searcher) if archive else 0


def _service_routes(app: FastAPI, gate: Gate, metrics: Metrics) -> None:
    @app.get("/health", tags=["service"])
    async def health() -> Health:
        """Whether the service answers; asked without a token."""
        return Health(status="ok", version=version("imageclef"))

    @app.get(
        "/metrics",
        tags=["service"],
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."}},
    )
    async def prometheus() -> Response:
        """Counts and times of requests."""
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    @app.post(
        "/session",
        tags=["service"],
        status_code=204,
        responses={422: {"model": Refusal, "description": "Not a token."}},
    )
    async def session(request: Request, given: Annotated[Token, Body()]) -> Response:
        """Exchange the token for a cookie, as the page does."""
        if not gate.asks:
            return Response(status_code=204)
        if not gate.admits(given.token):
            raise HTTPException(401, "this is not the token", {"WWW-Authenticate": "Bearer"})
        response = Response(status_code=204)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, gate.cookie, httponly=True, samesite="strict", secure=secure)
        return response


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
    """Each as JSON with a sentence; what is not the visitor's fault reaches the door."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        said_nothing = error.status_code in _SENTENCES and error.detail in ("Not Found", "Method Not Allowed")
        sentence = _SENTENCES[error.status_code] if said_nothing else error.detail
        return _answer(error.status_code, sentence, dict(error.headers or {}))

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
        return _answer(404, "there is no index of such a profile; expected one of GET /profiles")

    @app.exception_handler(Unopened)
    async def unopened(request: Request, error: Unopened) -> JSONResponse:
        sentence = "the index of this profile cannot be opened; the service's log says why"
        return _answer(503, sentence, {"Retry-After": "60"})

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> JSONResponse:
        return _answer(503, "too much to do; expected another try in a second", {"Retry-After": "1"})


def _answer(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status, headers)
