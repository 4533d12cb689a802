"""Connections: how many are open, and how long a client may take; uvicorn has no limits of its own for that.

Where there are too many, in all or from one address, a new connection takes the place of the one that has
kept the server waiting longest. So clients that hold connections open cannot keep others out. A connection
whose request has arrived is never closed before it is answered, unless it came without a valid token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from imageclef.errors import ConfigError
from imageclef.service.limits import Limits
from imageclef.service.middleware import AUTHORISED

Network = IPv4Network | IPv6Network

_EMPTY = b"Connection: close\r\nContent-Length: 0\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\n" + _EMPTY
_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n" + _EMPTY
_BACKLOG = 256
"""Connections that the system accepts before the server looks at them."""
_KEEP_ALIVE = 20
"""Seconds that an idle connection is kept: longer than clients keep theirs, so that none asks as we close."""
_BETWEEN_REQUESTS = 2.0
"""Seconds in which a client that was answered may ask again before its connection counts as idle."""


def networks(proxies: Sequence[str]) -> list[Network]:
    """The networks of reverse proxies.

    Raises:
        ConfigError: one is neither an address nor a network.
    """
    try:
        return [ip_network(one) for one in proxies]
    except ValueError as error:
        raise ConfigError(f"--proxy: {error}; expected an address such as 10.0.0.2, or a network") from None


def server_config(
    app: ASGIApp, limits: Limits, proxies: Sequence[str] = (), root_path: str = ""
) -> uvicorn.Config:
    """The settings of a server with limits.

    Args:
        app: the application.
        limits: of its connections.
        proxies: addresses and networks of reverse proxies, whose forwarded headers are believed.
        root_path: the path under which a reverse proxy serves it.
    """
    attributes = {"limits": limits, "proxies": networks(proxies)}
    return uvicorn.Config(
        app,
        http=type("Protocol", (LimitedProtocol,), attributes),
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        root_path=root_path,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=5,
    )


class LimitedProtocol(H11Protocol):
    """A connection with limits; `server_config` sets them."""

    limits = Limits()
    proxies: Sequence[Network] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, if there is or can be made room for it."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._since = self._progress = self.loop.time()
        self._unsent = 0
        self._proven = False
        self._check_later()
        if not self._make_room():
            transport.write(_TOO_MANY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._since = self.loop.time()
        self._proven = self._proven or self._authorised
        super().on_response_complete()

    def shutdown(self) -> None:
        """End with the server, without waiting for the rest of a request."""
        if self._busy and self.cycle.more_body:
            self.transport.abort()
        else:
            super().shutdown()

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _at_work(self) -> bool:
        """Whether an answer is owed: a request is here and was allowed, or the next one is on its way."""
        if self._busy:
            return self._authorised and not self.cycle.more_body
        return self._proven and self.loop.time() - self._since < _BETWEEN_REQUESTS

    @property
    def _rank(self) -> tuple[bool, float]:
        """Lowest for the first to go: strangers before others, the longest wait first."""
        return self._proven or (self._busy and self._authorised), self._since

    @property
    def _authorised(self) -> bool:
        return self.scope is not None and bool(self.scope.get(AUTHORISED))

    def _make_room(self) -> bool:
        """Close others where there are too many; False where all of them are busy."""
        others = [
            one
            for one in self.connections
            if isinstance(one, LimitedProtocol) and one is not self and not one.transport.is_closing()
        ]
        limited = not (self.proxies and self._is_proxy())
        neighbours = [one for one in others if one._address == self._address] if limited else []
        for crowd, most in ((neighbours, self.limits.per_address), (others, self.limits.connections)):
            if len(crowd) < most:
                continue
            idle = [one for one in crowd if not one._at_work and not one.transport.is_closing()]
            if not idle:
                return False
            min(idle, key=lambda one: one._rank).transport.abort()
        return True

    @property
    def _patience(self) -> float:
        """Seconds for the head of a request; more for a client that was answered and is silent."""
        silent = self._proven and not self.conn.trailing_data[0]
        return _KEEP_ALIVE if silent else self.limits.head_seconds

    def _is_proxy(self) -> bool:
        try:
            address = ip_address(self._address)
        except ValueError:
            return False
        return any(address in network for network in self.proxies)

    def _check_later(self) -> None:
        pause = min(1.0, self.limits.head_seconds / 4, self.limits.write_seconds / 4)
        self._timer = self.loop.call_later(pause, self._check)

    def _check(self) -> None:
        """Close the connection if its client takes too long to ask or to read."""
        now, unsent = self.loop.time(), self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._progress = now
        self._unsent = unsent
        if now - self._progress > self.limits.write_seconds:
            self.transport.abort()
        elif unsent:
            self._since = now
        elif not self._busy and now - self._since > self._patience:
            if self.conn.trailing_data[0]:
                self.transport.write(_TOO_SLOW)
            self.transport.close()
        self._check_later()
