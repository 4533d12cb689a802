"""How much the service takes on at once, and how long it waits for a client."""

from __future__ import annotations

import resource
from dataclasses import dataclass, replace

_WANTED_FILES = 4096
"""Open files: connections, uploads on disk, the index and the decoding processes."""


@dataclass(frozen=True)
class Limits:
    """The limits of one service. Times are in seconds.

    Attributes:
        body_bytes: size of a request.
        open_body_bytes: size of a request without a valid token.
        uploads: requests whose bodies are arriving at once.
        open_uploads: the same for requests without a valid token; they take none of the others' places.
        body_grace: time that any body may take.
        body_rate: bytes per second; every so many bytes of a body give it another second.
        body_seconds: time that no body may exceed.
        head_seconds: time for the head of a request, from the connection or the last answer on.
        write_seconds: time without progress while a client reads an answer.
        connections: open connections in all.
        per_address: open connections of one address; reverse proxies are exempt.
        searches: searches that wait while all threads are busy.
        pictures: images that wait to be encoded while all threads are busy.
    """

    body_bytes: int = 32 * 2**20
    open_body_bytes: int = 4096
    uploads: int = 256
    open_uploads: int = 16
    body_grace: float = 10.0
    body_rate: float = 16 * 1024
    body_seconds: float = 120.0
    head_seconds: float = 10.0
    write_seconds: float = 20.0
    connections: int = 1024
    per_address: int = 512
    searches: int = 64
    pictures: int = 192

    def fitted(self, files: int) -> Limits:
        """These limits, scaled so that a process with so many file descriptors does not run out of them."""
        share = min(1.0, files / _WANTED_FILES)
        scaled = {
            name: max(2, int(getattr(self, name) * share))
            for name in ("connections", "per_address", "uploads", "open_uploads", "searches")
        }
        return replace(self, **scaled)


def raise_file_limit() -> int:
    """Allow this process as many open files as it wants and may have.

    Returns:
        the limit that is now in force.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _WANTED_FILES
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(_WANTED_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)
