"""Request bodies: their size, their time limit, and who makes room where too many arrive at once."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from imageclef.service.limits import Limits

_CLOSE = {"Connection": "close"}


class Arriving:
    """The bodies that are arriving at this moment. The latest of them makes room for a new one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bodies: set[Body] = set()

    def enter(self, body: Body) -> None:
        """Count a body; where there is no place, the one that is nearest to its time limit is given up."""
        if body not in self._bodies:
            if len(self._bodies) >= self._most:
                slowest = min(self._bodies, key=lambda one: one.deadline)
                self._bodies.discard(slowest)
                slowest.give_up()
            self._bodies.add(body)

    def leave(self, body: Body) -> None:
        """Forget a body that has arrived, or never will."""
        self._bodies.discard(body)

    def __len__(self) -> int:
        return len(self._bodies)


class Body:
    """The body of one request, limited while it is read. It takes a place only once it is asked for."""

    def __init__(self, receive: Receive, most: int, limits: Limits, arriving: Arriving) -> None:
        """Wrap what receives a body.

        Args:
            receive: gives the next part.
            most: bytes that it may have.
            limits: of its time.
            arriving: the bodies beside which it arrives.
        """
        self._receive, self._most, self._limits, self._arriving = receive, most, limits, arriving
        self._began = asyncio.get_running_loop().time()
        self._bytes = 0
        self._ended = self._given_up = False
        self._timer: asyncio.Timeout | None = None

    @property
    def deadline(self) -> float:
        """When it has to be here, by the clock of the event loop: the later, the more has come."""
        limits = self._limits
        return self._began + min(limits.body_grace + self._bytes / limits.body_rate, limits.body_seconds)

    async def check(self, headers: Headers) -> None:
        """Refuse a body by the size that its header promises.

        Raises:
            HTTPException: 413.
        """
        promised = headers.get("content-length", "")
        if promised.isascii() and promised.isdigit() and int(promised[:20]) > self._most:
            if int(promised[:20]) <= 2 * self._most and "expect" not in headers:
                await self._drain()
            raise self._too_large()

    async def receive(self) -> Message:
        """The next part.

        Raises:
            HTTPException: 408 where it is too late, 413 if it is too large, 503 if others need its place.
        """
        if self._ended:
            return await self._receive()
        message = await self._next()
        if self._bytes > self._most:
            await self._drain()
            raise self._too_large()
        return message

    def give_up(self) -> None:
        """Make room for another."""
        self._given_up = True
        if self._timer is not None:
            self._timer.reschedule(asyncio.get_running_loop().time())

    def leave(self) -> None:
        """Hold no place any more."""
        self._arriving.leave(self)

    async def _drain(self) -> None:
        """Read on and forget it: clients and proxies that are still sending do not see an answer before."""
        with suppress(HTTPException):
            while not self._ended and self._bytes <= 2 * self._most:
                await self._next()
        self.leave()

    async def _next(self) -> Message:
        message = await self._part()
        self._bytes += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        if self._ended:
            self.leave()
        return message

    async def _part(self) -> Message:
        if self._given_up:
            raise _crowded()
        self._arriving.enter(self)
        try:
            async with asyncio.timeout_at(self.deadline) as self._timer:
                return await self._receive()
        except TimeoutError:
            self.leave()
            if self._given_up:
                raise _crowded() from None
            raise HTTPException(408, "the request arrived too slowly", _CLOSE) from None
        finally:
            self._timer = None

    def _too_large(self) -> HTTPException:
        most = f"{self._most / 2**20:g} MiB" if self._most >= 2**20 else f"{self._most} bytes"
        return HTTPException(413, f"the request is too large; expected at most {most}")


def _crowded() -> HTTPException:
    return HTTPException(
        503, "too many requests are arriving; try again in a second", {"Retry-After": "1", **_CLOSE}
    )
