"""Who is answered: hosts, origins, tokens."""

from __future__ import annotations

import httpx
import pytest

from imageclef.service.entry.access import COOKIE, Gate, is_loopback
from imageclef.service.served.archive import Archive
from tests.service.conftest import TOKEN

PRIVATE = (
    "/collection",
    "/images",
    "/concepts",
    "/map",
    "/metrics",
    "/openapi.json",
    "/plugin?id=x",
    "/images/x",
)


def bearer(token: str) -> dict[str, bytes]:
    return {"Authorization": f"Bearer {token}".encode()}


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        *((host, True) for host in ("127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]")),
        *((host, False) for host in ("0.0.0.0", "::", "192.168.0.3", "localhost.evil.example", "")),
    ],
)
def test_what_is_loopback(host: str, inside: bool) -> None:
    assert is_loopback(host) is inside


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "192.168.0.3", "127.0.0.1.evil.example", "[", ""]
)
def test_on_loopback_another_name_is_refused(client: httpx.Client, host: str) -> None:
    for path in ("/", "/health", "/images"):
        response = client.get(path, headers={"Host": host})
        assert response.status_code == 400
        assert "127.0.0.1" in response.text


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
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_requests_of_other_sites_are_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/similar"), ("GET", "/images"), ("POST", "/session")):
        response = client.request(method, path, headers=headers)
        assert response.status_code == 403
        assert response.json() == {"detail": "requests of other sites are not answered"}


def test_its_own_page_is_answered_and_links_to_it_work(client: httpx.Client) -> None:
    own = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert client.get("/images", headers=own).status_code == 200
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_without_the_token_nothing_of_the_collection_is_shown(guarded: str, archive: Archive) -> None:
    with httpx.Client(base_url=guarded, trust_env=False) as client:
        for path in PRIVATE:
            response = client.get(path)
            assert response.status_code == 401, path
            assert response.headers["www-authenticate"] == "Bearer"
            assert "token" in response.json()["detail"]
        for path in ("/similar", "/concepts", "/plugin"):
            assert client.post(path, data={"id": archive.searcher.ids[0]}).status_code == 401
        page = client.get("/")
        assert page.status_code == client.get("/health").status_code == 200
        assert archive.searcher.ids[0] not in page.text


@pytest.mark.parametrize("wrong", ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper()])
def test_a_wrong_token_is_refused(guarded: str, wrong: str) -> None:
    with httpx.Client(base_url=guarded, trust_env=False) as client:
        if wrong:
            assert client.get("/images", headers=bearer(wrong)).status_code == 401
        assert client.get("/images", headers={"Cookie": f"{COOKIE}=x"}).status_code == 401
        refused = client.post("/session", json={"token": wrong})
        assert refused.status_code == 401
        assert "set-cookie" not in refused.headers


def test_the_token_is_taken_as_a_header_and_by_the_page(guarded: str) -> None:
    with httpx.Client(base_url=guarded, trust_env=False) as client:
        for path in PRIVATE[:6]:
            assert client.get(path, headers=bearer(TOKEN)).status_code == 200
        entered = client.post("/session", json={"token": TOKEN})
        assert entered.status_code == 204
        cookie = entered.headers["set-cookie"]
        assert "httponly" in cookie.lower()
        assert "samesite=strict" in cookie.lower()
        assert TOKEN not in cookie
        assert client.get("/images").status_code == 200


def test_the_cookie_of_another_token_is_worth_nothing() -> None:
    assert Gate("0.0.0.0", "one").cookie != Gate("0.0.0.0", "two").cookie


def test_every_answer_forbids_what_the_page_does_not_need(client: httpx.Client) -> None:
    for path in ("/", "/images", "/nothing", "/static/page.js"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers or "uvicorn" in headers["server"]
