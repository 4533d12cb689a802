"""The outermost layer: admission, bounds on bodies and on requests at once, headers, counting."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imageclef.service.entry.access import SECURITY_HEADERS, Gate, Refused
from imageclef.service.entry.metrics import Metrics

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """How much is taken on.

    Attributes:
        body_bytes: of a request.
        requests: at once; each may keep a body on disk.
        searches: that wait while every thread is searching.
        pictures: that wait while every thread is encoding pictures.
    """

    body_bytes: int = 32 * 2**20
    requests: int = 256
    searches: int = 64
    pictures: int = 192


class Door:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, gate: Gate, bounds: Bounds, metrics: Metrics) -> None:
        self._app, self._gate, self._bounds, self._metrics = app, gate, bounds, metrics
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it; everything but HTTP is passed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        self._inside += 1
        try:
            await self._admit(scope, receive, counted)
        except Exception:
            if status:
                raise
            _log.exception("%s %s failed", scope["method"], scope["path"])
            broken = Refused(500, "the service failed to answer; its log says why")
            await _refusal(broken)(scope, receive, counted)
        finally:
            self._inside -= 1
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if route != "other" else "any"
            self._metrics.count(method, route, status, time.perf_counter() - started)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        body = _Body(receive, self._bounds.body_bytes)
        try:
            if self._inside > self._bounds.requests:
                raise Refused(503, "too many requests at once; expected another try in a second")
            await self._gate.check(scope["path"], scope["scheme"], headers)
            body.check(headers.get("content-length", ""))
        except Refused as refused:
            await _refusal(refused)(scope, receive, send)
            await body.drain()
            return
        await self._app(scope, body.receive, send)
        if body.over:
            await body.drain()


class _Body:
    """The body of a request, counted while it is read."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._most, self._read = receive, most, 0
        self._ended = False

    @property
    def over(self) -> bool:
        """Whether more came than may."""
        return self._read > self._most

    @property
    def sentence(self) -> str:
        """What is said then."""
        return f"the request is too large; expected at most {self._most / 2**20:g} MiB"

    def check(self, content_length: str) -> None:
        """Refuse a body by what its header promises, before any of it is read."""
        if content_length.isascii() and content_length.isdigit() and int(content_length[:20]) > self._most:
            raise Refused(413, self.sentence)

    async def receive(self) -> Message:
        """A part of the body, as long as there are not too many."""
        message = await self._part()
        if self.over:
            raise HTTPException(413, self.sentence)
        return message

    async def drain(self) -> None:
        """Read on for a while and forget it: many clients see an answer only once they have sent all."""
        self._read = min(self._read, self._most)
        most = self._read + self._most
        while not self._ended and self._read <= most:
            await self._part()

    async def _part(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message


def _refusal(refused: Refused) -> JSONResponse:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}.get(refused.status)
    return JSONResponse({"detail": refused.sentence}, refused.status, headers)
