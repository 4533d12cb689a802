"""Which hosts and origins are answered."""

from __future__ import annotations

import socket

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from imageclef.errors import ConfigError
from imageclef.service.hosts import Hosts, is_loopback
from imageclef.service.served.archive import Archive

FOREIGN = [
    *("evil.example", "evil.example:8000", "192.168.0.3", "127.0.0.1.evil.example", "[", ""),
    *(
        "[::1].evil.com",
        "127.0.0.1#.evil.com",
        "localhost:evil.com",
        "localhost@evil.com",
        "evil.com#localhost",
    ),
    *(
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:80:80",
        "localhost.",
        "[::1",
        "::1",
        "[::1]x",
    ),
    *("http://localhost", "localhost/", "[localhost]", "[127.0.0.1]", "127.1", "0x7f.1", "localhost:+80"),
]


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        *((host, True) for host in ("127.0.0.1", "127.9.9.9", "localhost", "::1")),
        *((host, False) for host in ("0.0.0.0", "::", "192.168.0.3", "localhost.evil.example", "")),
    ],
)
def test_what_is_loopback(host: str, inside: bool) -> None:
    assert is_loopback(host) is inside


@pytest.mark.parametrize("host", FOREIGN)
def test_on_loopback_another_name_is_refused(client: httpx.Client, host: str) -> None:
    for path in ("/", "/health", "/images"):
        response = client.get(path, headers={"Host": host})
        assert response.status_code == 400
        assert "ost" in response.json()["detail"]


@pytest.mark.parametrize(
    "heads", ["", "Host: localhost\r\nHost: localhost\r\n", "Host: localhost, localhost\r\n"]
)
def test_none_or_two_hosts_are_refused(client: httpx.Client, heads: str) -> None:
    where = client.base_url.host, client.base_url.port or 80
    with socket.create_connection(where, timeout=10) as connection:
        connection.sendall(f"GET /health HTTP/1.0\r\n{heads}\r\n".encode())
        assert connection.recv(100).split()[1] == b"400"


NAMES = st.sampled_from(
    ["127.0.0.1", "localhost", "[::1]", "::1", "evil.com", "127.1", "0", "[::1%lo]", "①27.0.0.1"]
)
SEPARATORS = st.sampled_from(
    ["", ":", ".", "#", "@", "/", "\\", ",", " ", "?", "%00", "\t", "[", "]", "\x00"]
)
ENDS = st.sampled_from(
    ["", "80", "8000", "0", "65535", "65536", "99999999", "+80", "8_0", "évil.com", "evil.com", "٣"]
)
HOSTS = st.one_of(
    st.text(max_size=30),
    st.lists(st.one_of(NAMES, SEPARATORS, ENDS), max_size=4).map("".join),
    st.tuples(NAMES, SEPARATORS, ENDS).map("".join),
)


@settings(max_examples=3000, deadline=None)
@given(HOSTS)
def test_a_host_is_either_one_of_ours_with_a_port_or_refused(host: str) -> None:
    name, colon, port = host.rpartition(":")
    if (host.startswith("[") and host.endswith("]")) or not colon:
        name, colon, port = host, "", ""
    digits = bool(port) and all(one in "0123456789" for one in port) and len(port) <= 5
    own = name.lower() in ("localhost", "127.0.0.1", "[::1]") and (
        not colon or (digits and 0 < int(port) < 65536)
    )
    # Other ways to write a loopback address are no names, so nobody else can own them.
    other = name.replace(".", "").isdigit() or name.startswith("[")
    headers = Headers(raw=[(b"host", host.encode("utf-8", "surrogatepass"))])
    if own:
        Hosts("127.0.0.1").check(headers, "/")
    elif not other:
        with pytest.raises(HTTPException, match="ost"):
            Hosts("127.0.0.1").check(headers, "/")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("images.example.org", 200),
        ("IMAGES.example.org:443", 200),
        ("localhost", 200),
        ("example.org", 400),
        ("images.example.org.evil.com", 400),
    ],
)
def test_further_names_can_be_allowed(archive: Archive, host: str, status: int) -> None:
    hosts = Hosts("127.0.0.1", ["images.example.org"])
    headers = Headers({"host": host, "origin": f"https://{host}"})
    if status == 200:
        hosts.check(headers, "/images")
    else:
        with pytest.raises(HTTPException) as refused:
            hosts.check(headers, "/images")
        assert refused.value.status_code == status


@pytest.mark.parametrize("name", ["", "a b", "http://a", "a:80", "[::1", "*"])
def test_an_allowed_host_is_a_name(name: str) -> None:
    with pytest.raises(ConfigError, match="--allowed-host"):
        Hosts("127.0.0.1", [name])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1234", "LOCALHOST", "[::1]:99"])
def test_on_loopback_its_own_names_are_answered(client: httpx.Client, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "ftp://127.0.0.1"},
        {"Origin": "http://evil.example@127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_requests_of_other_sites_are_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/similar"), ("GET", "/images"), ("POST", "/session")):
        response = client.request(method, path, headers=headers)
        assert response.status_code == 403
        assert response.json() == {"detail": "requests from other sites are not answered"}


def test_its_own_page_is_answered_and_links_to_it_work(client: httpx.Client) -> None:
    own = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert client.get("/images", headers=own).status_code == 200
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
