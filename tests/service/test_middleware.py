"""Limits: how large a request may be, and how many are taken on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from imageclef.features.encoding import Encoder
from imageclef.service.limits import Limits
from imageclef.service.served.archive import Archive
from tests.service.conftest import Walked

Tight = Callable[[Limits], AbstractContextManager[httpx.Client]]


def parts(n: int) -> Iterator[bytes]:
    yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    for _ in range(n):
        yield b"0" * 10_000
    yield b"\r\n--x--\r\n"


FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def test_a_body_is_refused_by_its_promised_length(tight: Tight) -> None:
    with tight(Limits(body_bytes=50_000)) as client:
        response = client.post("/similar", files={"image": b"0" * 60_000})
        assert response.status_code == 413
        assert "expected at most" in response.json()["detail"]
        assert client.post("/similar", files={"image": b"0" * 40_000}).status_code == 422


def test_a_body_without_a_length_is_counted(tight: Tight) -> None:
    with tight(Limits(body_bytes=50_000)) as client:
        assert client.post("/similar", content=parts(6), headers=FORM).status_code == 413
        assert client.post("/similar", content=parts(4), headers=FORM).status_code == 422


@pytest.mark.parametrize("length", ["9" * 5000, "99999999999"])
def test_an_absurd_length_is_refused_at_once(client: httpx.Client, length: str) -> None:
    import socket

    with socket.create_connection(
        (client.base_url.host, client.base_url.port or 80), timeout=10
    ) as connection:
        head = f"POST /similar HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode())
        answer = connection.recv(100)
    assert answer.split()[1] in (b"413", b"400")


class Slow:
    """Makes every upload wait until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inside, self.let_go = threading.Semaphore(0), threading.Event()
        features = Encoder.encode_upload

        def waiting(encoder: Encoder, upload: Any) -> Any:
            self.inside.release()
            self.let_go.wait(20)
            return features(encoder, upload)

        monkeypatch.setattr(Encoder, "encode_upload", waiting)


def test_a_slow_request_does_not_stop_the_others(
    tight: Tight, archive: Archive, walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageclef.service.app.cores", lambda: 2)
    slow, answers = Slow(monkeypatch), []
    with tight(Limits()) as client:
        image = walked.queries[0].read_bytes()
        thread = threading.Thread(
            target=lambda: answers.append(client.post("/similar", files={"image": image}).status_code)
        )
        thread.start()
        assert slow.inside.acquire(timeout=10)
        began = time.monotonic()
        for path in ("/health", "/images", "/concepts", "/map", f"/images/{archive.index.names[0]}?size=64"):
            assert client.get(path).status_code == 200
        assert client.post("/similar", data={"id": archive.index.names[0]}).status_code == 200
        assert time.monotonic() - began < 5
        assert answers == []
        slow.let_go.set()
        thread.join(20)
    assert answers == [200]


def test_a_full_queue_says_when_to_come_again(
    tight: Tight, archive: Archive, walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageclef.service.app.cores", lambda: 1)
    slow, answers = Slow(monkeypatch), []
    with tight(Limits(searches=1)) as client:
        image = walked.queries[0].read_bytes()

        def post() -> None:
            answers.append(client.post("/similar", files={"image": image}).status_code)

        threads = [threading.Thread(target=post) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert slow.inside.acquire(timeout=10)
        deadline = time.monotonic() + 10
        while "imageclef_searches 2" not in client.get("/metrics").text and time.monotonic() < deadline:
            time.sleep(0.02)
        refused = client.post("/similar", data={"id": archive.index.names[0]})
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert "try again" in refused.json()["detail"]
        assert client.get("/health").status_code == 200
        slow.let_go.set()
        for thread in threads:
            thread.join(20)
        assert answers == [200, 200]
        assert client.post("/similar", data={"id": archive.index.names[0]}).status_code == 200


def test_a_fault_of_ours_is_a_sentence_and_counted(
    tight: Tight, walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(encoder: Encoder, upload: Any) -> Any:
        raise RuntimeError(f"secret of {walked.folder}")

    monkeypatch.setattr(Encoder, "encode_upload", broken)
    with tight(Limits()) as client:
        response = client.post("/similar", files={"image": b"x"})
        assert response.status_code == 500
        assert response.json() == {"detail": "the service failed to answer; its log says why"}
        assert 'route="/similar",status="500"} 1' in client.get("/metrics").text
