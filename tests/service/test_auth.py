"""Tokens and sessions."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from starlette.datastructures import Headers

from imageclef.service.auth import COOKIE, Auth
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


def test_without_the_token_nothing_of_the_collection_is_shown(guarded: str, archive: Archive) -> None:
    with httpx.Client(base_url=guarded, trust_env=False) as client:
        for path in PRIVATE:
            response = client.get(path)
            assert response.status_code == 401, path
            assert response.headers["www-authenticate"] == "Bearer"
            assert "token" in response.json()["detail"]
        for path in ("/similar", "/concepts", "/plugin"):
            assert client.post(path, data={"id": archive.index.names[0]}).status_code == 401
        page = client.get("/")
        assert page.status_code == client.get("/health").status_code == 200
        assert archive.index.names[0] not in page.text


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


def test_a_wrong_token_waits_wherever_it_is_given(guarded: str) -> None:
    with httpx.Client(base_url=guarded, trust_env=False) as client:
        for ask in (
            lambda: client.get("/images", headers=bearer("wrong")),
            lambda: client.post("/session", json={"token": "wrong"}),
            lambda: client.delete("/session?all=true", headers=bearer("wrong")),
        ):
            began = time.monotonic()
            assert ask().status_code == 401
            assert time.monotonic() - began >= 0.25


def test_a_session_ends_by_itself_and_cookies_tell_nothing() -> None:
    now = [100.0]
    auth = Auth(TOKEN, 60, lambda: now[0])
    one, other = (asyncio.run(auth.open_session(TOKEN)) for _ in range(2))
    assert one != other
    assert allowed(auth, one)
    now[0] += 59
    assert allowed(auth, one)
    now[0] += 2
    assert not allowed(auth, one)
    assert not allowed(Auth(TOKEN), other), "a new start knows no sessions"


def test_only_so_many_sessions_are_kept() -> None:
    auth = Auth(TOKEN)
    cookies = [asyncio.run(auth.open_session(TOKEN)) for _ in range(1030)]
    assert not allowed(auth, cookies[0])
    assert sum(allowed(auth, one) for one in cookies) == 1024


def allowed(auth: Auth, cookie: str) -> bool:
    return auth.allows(Headers({"cookie": f"{COOKIE}={cookie}"}))


def test_sessions_can_be_revoked(guarded: str) -> None:
    clients = [httpx.Client(base_url=guarded, trust_env=False) for _ in range(3)]
    for client in clients:
        flags = client.post("/session", json={"token": TOKEN}).headers["set-cookie"].lower()
        for flag in ("httponly", "samesite=strict", "path=/", "max-age=43200"):
            assert flag in flags
        assert "secure" not in flags, "the test speaks plain HTTP"
    kept = dict(clients[0].cookies)
    gone = clients[0].delete("/session")
    assert gone.status_code == 204
    assert "max-age=0" in gone.headers["set-cookie"].lower()
    for cookies in (kept, {}):
        assert httpx.get(f"{guarded}/images", cookies=cookies, trust_env=False).status_code == 401
    assert clients[1].get("/images").status_code == 200
    assert httpx.delete(f"{guarded}/session?all=true", trust_env=False).status_code == 401
    assert clients[1].get("/images").status_code == 200
    assert clients[1].delete("/session?all=true").status_code == 204
    assert [one.get("/images").status_code for one in clients] == [401, 401, 401]
    for client in clients:
        client.close()


def test_every_answer_forbids_what_the_page_does_not_need(client: httpx.Client) -> None:
    for path in ("/", "/images", "/nothing", "/static/page.js"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers or "uvicorn" in headers["server"]
