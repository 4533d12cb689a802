"""Who is answered: the checks before a request is looked at, and the headers of every answer.

A page of another site that a visitor has open can send requests to this machine's own address, too. So on a
loopback address only requests that name it as such are answered (else a foreign name that resolves to
127.0.0.1 would count as the same site: DNS rebinding), and on any address only those that come from the
service's own page. Anywhere but on loopback a token is demanded.
"""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser

COOKIE = "imageclef-session"
OPEN_PATHS = frozenset({"/", "/session", "/health"})
"""What is answered without the token, beside the page's own files: nothing of the collection."""
STATIC = "/static/"
_PAUSE = 0.3
"""Seconds before a wrong token is refused."""
_DIGEST = b"imageclef session cookie 1"

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


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    name = host.strip("[]").lower()
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


@dataclass(frozen=True)
class Refused(Exception):
    """A request that is not answered.

    Attributes:
        status: of the answer.
        sentence: why.
    """

    status: int
    sentence: str


class Gate:
    """The checks of one service."""

    def __init__(self, host: str, token: str | None) -> None:
        """Set up the checks.

        Args:
            host: the address it listens on.
            token: demanded of every request; None for none.
        """
        self._loopback = is_loopback(host)
        self._token = None if token is None else sha256(token.encode("utf-8", "surrogatepass")).digest()

    @property
    def asks(self) -> bool:
        """Whether a token is demanded."""
        return self._token is not None

    async def check(self, path: str, scheme: str, headers: Headers) -> None:
        """Let a request pass.

        Raises:
            Refused: with the status and a sentence.
        """
        host = headers.get("host", "")
        if self._loopback and not is_loopback(_name_of(host)):
            raise Refused(
                400, "this service is for this machine alone; expected the host 127.0.0.1 or localhost"
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            raise Refused(403, "requests of other sites are not answered")
        if headers.get("sec-fetch-site", "") == "cross-site" and path != "/":
            raise Refused(403, "requests of other sites are not answered")
        if not self.asks or path in OPEN_PATHS or path.startswith(STATIC):
            return
        given = headers.get("authorization", "")
        if given:
            kind, _, token = given.partition(" ")
            # Headers arrive as Latin-1, whatever the client meant; most mean UTF-8.
            if kind.lower() == "bearer" and self._is(token.strip().encode("latin-1", "replace")):
                return
            await asyncio.sleep(_PAUSE)
        elif hmac.compare_digest(_cookie(headers).encode(), self.cookie.encode()):
            return
        raise Refused(401, "a token is needed: expected the header `Authorization: Bearer TOKEN`")

    def admits(self, token: str) -> bool:
        """Whether a token is the right one, in a time that says nothing about it."""
        return self._is(token.encode("utf-8", "surrogatepass"))

    def _is(self, token: bytes) -> bool:
        return self._token is not None and hmac.compare_digest(sha256(token).digest(), self._token)

    @property
    def cookie(self) -> str:
        """What a browser keeps instead of the token; it changes with the token and does not give it away."""
        return hmac.new(self._token or b"", _DIGEST, sha256).hexdigest()


def _cookie(headers: Headers) -> str:
    cookies = cookie_parser(headers.get("cookie", ""))
    return cookies.get(COOKIE, "").encode("ascii", "replace").decode("ascii")


def _name_of(host: str) -> str:
    """The Host header without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
