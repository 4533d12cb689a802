"""Access by a token, and the sessions that browsers exchange it for."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser

COOKIE = "imageclef-session"
OPEN_PATHS = frozenset({"/", "/session", "/health"})
"""Answered without a token, as are the files of the page: they show nothing of the collection."""
STATIC = "/static/"
SESSION_SECONDS = 12 * 3600
_DELAY = 0.3
"""Seconds until a wrong token is refused."""
_MOST_SESSIONS = 1024
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Auth:
    """The token of one server, and its sessions; they live in memory and end with the server."""

    def __init__(
        self,
        token: str | None,
        session_seconds: float = SESSION_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up access.

        Args:
            token: required of every request that shows something of the collection; None for none.
            session_seconds: a session ends after so many.
            clock: tells the seconds.
        """
        self.session_seconds = int(session_seconds)
        self._token = None if token is None else sha256(token.encode("utf-8", "surrogatepass")).digest()
        self._clock = clock
        # When each ends, by the digest of its cookie: a lookup by digest takes no telling time.
        self._sessions: dict[bytes, float] = {}

    @property
    def required(self) -> bool:
        """Whether there is a token."""
        return self._token is not None

    def allows(self, headers: Headers) -> bool:
        """Whether a request brings the token or the cookie of a session, or needs neither."""
        if not self.required:
            return True
        given = _bearer(headers)
        return self._is_token(given) if given is not None else self._in_session(headers)

    async def refuse(self, headers: Headers) -> None:
        """Refuse a request that is not allowed; a wrong token is refused after a delay.

        Raises:
            HTTPException: 401, always.
        """
        if _bearer(headers) is not None:
            await asyncio.sleep(_DELAY)
        raise HTTPException(
            401, "a valid token is required; expected the header `Authorization: Bearer TOKEN`", _CHALLENGE
        )

    async def open_session(self, token: str) -> str:
        """Exchange the token for the value of a cookie.

        Raises:
            HTTPException: 401, after a delay: the token is wrong.
        """
        if not self._is_token(token.encode("utf-8", "surrogatepass")):
            await asyncio.sleep(_DELAY)
            raise HTTPException(401, "wrong token", _CHALLENGE)
        now = self._clock()
        self._sessions = {key: end for key, end in self._sessions.items() if end > now}
        while len(self._sessions) >= _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        cookie = secrets.token_urlsafe(32)
        self._sessions[_digest(cookie)] = now + self.session_seconds
        return cookie

    def close_session(self, headers: Headers) -> None:
        """End the session of a request, if it has one."""
        self._sessions.pop(_digest(_cookie(headers)), None)

    def close_sessions(self) -> None:
        """End all sessions."""
        self._sessions.clear()

    def _in_session(self, headers: Headers) -> bool:
        return self._sessions.get(_digest(_cookie(headers)), 0.0) > self._clock()

    def _is_token(self, token: bytes) -> bool:
        return self._token is not None and hmac.compare_digest(sha256(token).digest(), self._token)


def is_open(path: str) -> bool:
    """Whether a path is answered without a token."""
    return path in OPEN_PATHS or path.startswith(STATIC)


def _bearer(headers: Headers) -> bytes | None:
    """The token in a header, None where there is no such header; of another scheme, an empty one."""
    given = headers.get("authorization")
    if not given:
        return None
    scheme, _, token = given.partition(" ")
    # Headers arrive as Latin-1, whatever the client meant; most mean UTF-8.
    return token.strip().encode("latin-1", "replace") if scheme.lower() == "bearer" else b""


def _cookie(headers: Headers) -> str:
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _digest(cookie: str) -> bytes:
    return sha256(cookie.encode("utf-8", "surrogatepass")).digest()
