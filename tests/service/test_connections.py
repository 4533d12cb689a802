"""Slow clients, too many connections, and a reverse proxy: over real sockets."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from imageclef.errors import ConfigError
from imageclef.service.connections import networks
from imageclef.service.limits import Limits
from imageclef.service.served.archive import Archive
from tests.service.conftest import TOKEN, app_of, running

HEAD = b"POST /session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = HEAD + b"Content-Length: 30\r\n\r\n{"
FORM = b"POST /similar HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
UPLOAD = FORM + b"Content-Length: 3000\r\n\r\n" + PART


@contextmanager
def slow(address: str, n: int, begun: bytes) -> Iterator[list[socket.socket]]:
    """Clients that send the beginning of a request and then nothing."""
    host, _, port = address.removeprefix("http://").partition(":")
    with ExitStack() as stack:
        opened = []
        for _ in range(n):
            one = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
            one.sendall(begun)
            opened.append(one)
        yield opened


def answer(one: socket.socket) -> bytes:
    """All that the server still sends; empty where it closes the connection without a word."""
    found = b""
    try:
        while part := one.recv(65536):
            found += part
    except ConnectionError:
        pass
    return found


@pytest.mark.parametrize(("token", "begun"), [(TOKEN, BODY), (TOKEN, HEAD), (None, UPLOAD), (None, b"GET /")])
def test_slow_clients_keep_nobody_out(
    archive: Archive, token: str | None, begun: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Authorization": f"Bearer {token}".encode()} if token else {}
    limits = Limits(uploads=64, per_address=128)
    with running(app_of(archive, token, limits), limits) as address, slow(address, 300, begun):
        with httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=5) as client:
            for _ in range(3):
                assert client.post("/similar", data={"id": archive.index.names[0]}).status_code == 200
        for path in ("/", "/health"):
            assert httpx.get(address + path, trust_env=False, timeout=5).status_code == 200
        if token:
            entered = httpx.post(f"{address}/session", json={"token": token}, trust_env=False, timeout=5)
            assert entered.status_code == 204
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("begun", "status"), [(b"GET / HTTP/1.1\r\nHost:", b"408"), (b"", b""), (UPLOAD, b"408"), (BODY, b"408")]
)
def test_a_slow_client_is_let_go_in_time(archive: Archive, begun: bytes, status: bytes) -> None:
    limits = Limits(head_seconds=0.4, body_grace=0.4)
    with running(app_of(archive, limits=limits), limits) as address, slow(address, 1, begun) as (one,):
        began = time.monotonic()
        answered = answer(one)
        assert 0.3 < time.monotonic() - began < 4
        assert answered[9:12] == status


def test_a_body_may_take_longer_the_more_of_it_comes(archive: Archive) -> None:
    limits = Limits(body_grace=0.5, body_rate=1000.0, body_seconds=60.0)
    with running(app_of(archive, limits=limits), limits) as address, slow(address, 2, UPLOAD) as (one, other):
        began = time.monotonic()
        for _ in range(11):
            time.sleep(0.1)
            one.sendall(b"x" * 200)
        assert answer(other)[9:12] == b"408"
        one.sendall(b"x" * (3000 - len(PART) - 2200))
        assert one.recv(100)[9:12] in (b"400", b"422")
        assert time.monotonic() - began > 2 * limits.body_grace


def test_a_refused_body_does_not_keep_its_connection(archive: Archive) -> None:
    limits = Limits(head_seconds=0.4)
    refused = FORM + b"Content-Length: 100000\r\n\r\n"
    with running(app_of(archive, TOKEN, limits), limits) as address, slow(address, 1, refused) as (one,):
        began = time.monotonic()
        assert answer(one)[9:12] == b"401"
        assert time.monotonic() - began < 4


def test_who_does_not_read_is_let_go(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(archive.gallery), "original", lambda *_: b"0" * (64 * 2**20))
    limits = Limits(write_seconds=0.5)
    asked = f"GET /images/{archive.index.names[0]} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with running(app_of(archive, limits=limits), limits) as address, slow(address, 1, asked) as (one,):
        time.sleep(3)
        assert len(answer(one)) < 64 * 2**20


def test_one_address_cannot_take_every_connection(archive: Archive) -> None:
    limits = Limits(connections=12, per_address=6)
    with running(app_of(archive, limits=limits), limits) as address, slow(address, 9, b"GET /") as opened:
        assert httpx.get(f"{address}/health", trust_env=False, timeout=5).status_code == 200
        time.sleep(0.2)
        assert [gone(one) for one in opened[:3]] == [True] * 3, "the oldest went"
        assert not any(map(gone, opened[4:]))


def gone(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        one.setblocking(True)


def test_descriptors_do_not_run_out(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits().fitted(1024)
    assert limits.connections < 512
    with running(app_of(archive, limits=limits), limits) as address, slow(address, 700, b"GET /"):
        open_files = len(list(Path("/proc/self/fd").iterdir()))
        assert open_files < 700 + limits.connections + 200
        assert httpx.get(f"{address}/health", trust_env=False, timeout=5).status_code == 200
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_a_stop_does_not_wait_for_slow_clients(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as stack:
        with running(app_of(archive)) as address:
            stack.enter_context(slow(address, 5, UPLOAD))
            stack.enter_context(slow(address, 5, b"GET /"))
            assert httpx.get(f"{address}/health", trust_env=False, timeout=5).status_code == 200
            began = time.monotonic()
        assert time.monotonic() - began < 4
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


def beside(ask: Callable[[], float], clients: int, seconds: float) -> list[float]:
    """The time of every request of some clients that ask without a pause."""
    until, times = time.monotonic() + seconds, list[float]()

    def visit() -> None:
        while time.monotonic() < until:
            times.append(ask())

    threads = [threading.Thread(target=visit) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def test_honest_clients_do_not_notice_slow_ones(guarded: str, archive: Archive) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}".encode()}
    with httpx.Client(base_url=guarded, headers=headers, trust_env=False, timeout=20) as client:

        def ask() -> float:
            began = time.monotonic()
            response = client.post("/similar", data={"id": archive.index.names[0], "k": 20})
            assert response.status_code == 200
            return time.monotonic() - began

        alone = sorted(beside(ask, 8, 1.5))
        with slow(guarded, 120, BODY), slow(guarded, 120, b"GET /"):
            crowded = sorted(beside(ask, 8, 1.5))
    # The quick suite shares its cores; pipelines/bench_service.py --slow measures the percentiles.
    assert crowded[len(crowded) // 2] < 3 * alone[len(alone) // 2]


@pytest.mark.parametrize("proxy", ["", "localhost", "*", "10.0.0.0/33"])
def test_a_proxy_is_an_address_or_a_network(proxy: str) -> None:
    with pytest.raises(ConfigError, match="--proxy"):
        networks([proxy])
