"""What every request passes: host, token, body limits; and what every answer gets: headers, counting."""

from __future__ import annotations

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imageclef.service.auth import Auth, is_open
from imageclef.service.hosts import Hosts
from imageclef.service.limits import Limits
from imageclef.service.metrics import Metrics
from imageclef.service.uploads import Arriving, Body

AUTHORISED = "imageclef.authorised"
"""In the scope of a request that brought the token, or needs none; the connection looks at it."""

_log = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Middleware:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, auth: Auth, hosts: Hosts, limits: Limits, metrics: Metrics) -> None:
        self._app, self._auth, self._hosts = app, auth, hosts
        self._limits, self._metrics = limits, metrics
        # Requests without a token have places of their own, so that they cannot take those of the others.
        self._uploads, self._open_uploads = Arriving(limits.uploads), Arriving(limits.open_uploads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it; everything but HTTP is passed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, answer = time.perf_counter(), _Answer(send, scope["method"] == "HEAD")
        scope[AUTHORISED] = self._auth.allows(Headers(scope=scope))
        # HEAD is answered as GET is, without the body.
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            await self._answer(asked, receive, answer.send)
        except Exception:
            if answer.status:
                raise
            _log.exception("%s %s failed", scope["method"], scope["path"])
            failed = HTTPException(500, "the service failed to answer; its log says why")
            await _refusal(failed)(scope, receive, answer.send)
        finally:
            route = getattr(asked.get("route"), "path_format", "other")
            method = scope["method"] if route != "other" else "any"
            self._metrics.count(method, route, answer.status, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, path, limits = Headers(scope=scope), _path(scope), self._limits
        if scope[AUTHORISED]:
            body = Body(receive, limits.body_bytes, limits, self._uploads)
        else:
            body = Body(receive, limits.open_body_bytes, limits, self._open_uploads)
        try:
            self._hosts.check(headers, path)
            if not scope[AUTHORISED] and not is_open(path):
                await self._auth.refuse(headers)
            await body.check(headers)
            await self._app(scope, body.receive, send)
        except HTTPException as refused:
            await _refusal(refused)(scope, receive, send)
        finally:
            body.leave()


class _Answer:
    """What is sent in answer, with the headers that every answer has; `status` is 0 until it begins."""

    def __init__(self, send: Send, head: bool) -> None:
        self._send, self._head = send, head
        self.status = 0

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        elif self._head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


def _path(scope: Scope) -> str:
    """The path below the one that a reverse proxy serves the application under."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _refusal(refused: HTTPException) -> JSONResponse:
    return JSONResponse({"detail": refused.detail}, refused.status_code, refused.headers)
