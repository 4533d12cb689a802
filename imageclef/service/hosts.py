"""Which hosts and origins are answered.

Any web page that a visitor has open can send requests to this machine. So a server on a loopback address
answers only requests that name it as such; otherwise a foreign name that resolves to 127.0.0.1 would count as
the same site (DNS rebinding). Requests that another site sent are refused everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from imageclef.errors import ConfigError

_HOST = re.compile(
    r"(?P<name>\[(?P<ipv6>[0-9a-f:.]{2,45})\]|[a-z0-9_][a-z0-9_.-]{0,252})(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)
_OTHER_SITE = "requests from other sites are not answered"


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, can be reached from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def parse_host(header: str) -> str | None:
    """The name in a Host header, in lower case and without port or brackets; None where it is malformed."""
    if not (found := _HOST.fullmatch(header.lower())):
        return None
    port, ipv6, name = found["port"], found["ipv6"], found["name"]
    if port is not None and not 1 <= int(port) <= 65535:
        return None
    if ipv6 is None:
        return name
    try:
        return str(IPv6Address(ipv6))
    except AddressValueError:
        return None


class Hosts:
    """The hosts and origins that one server answers."""

    def __init__(self, listening: str, allowed: Sequence[str] = ()) -> None:
        """Set up the checks.

        Args:
            listening: the address the server listens on.
            allowed: further names under which browsers reach it, for example behind a reverse proxy.

        Raises:
            ConfigError: a name is not a host.
        """
        self._restricted = is_loopback(listening) or bool(allowed)
        self._allowed = frozenset(map(parse_host, allowed))
        for name in allowed:
            found = _HOST.fullmatch(name.lower())
            if parse_host(name) is None or not found or found["port"]:
                raise ConfigError(
                    f"--allowed-host {name!r}: not a host name; expected one such as images.example.org"
                )

    def check(self, headers: Headers, path: str) -> None:
        """Refuse other hosts and other sites.

        Raises:
            HTTPException: 400 or 403.
        """
        hosts = headers.getlist("host")
        name = parse_host(hosts[0]) if len(hosts) == 1 else None
        if name is None:
            raise HTTPException(400, "expected one valid Host header")
        if self._restricted and not (_is_own(name) or name in self._allowed):
            raise HTTPException(
                400, "unknown host; expected 127.0.0.1 or localhost, or a name given by --allowed-host"
            )
        own = (f"http://{hosts[0].lower()}", f"https://{hosts[0].lower()}")
        if any(origin.lower() not in own for origin in headers.getlist("origin")):
            raise HTTPException(403, _OTHER_SITE)
        # A link on another site may lead to the page, and to nothing else.
        if "cross-site" in headers.getlist("sec-fetch-site") and path != "/":
            raise HTTPException(403, _OTHER_SITE)


def _is_own(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return (IPv6Address(name) if ":" in name else IPv4Address(name)).is_loopback
    except AddressValueError:
        return False
