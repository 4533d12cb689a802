"""Behind a real nginx, as the documentation configures it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from imageclef.service.hosts import Hosts
from imageclef.service.served.archive import Archive
from tests.service.conftest import TOKEN, app_of, running

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
DOCS = Path(__file__).parents[2] / "docs" / "service.md"
NAME = "images.example.org"

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx (Debian: nginx-light)")

SETTINGS = """
{user}
daemon off; pid {folder}/pid; error_log stderr error; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; server_name {name};
{location}
  }}
}}
"""


def documented(backend: str) -> str:
    """The `location` of the documentation, for a server at another address."""
    found = re.search(r"^ *location /imageclef/ \{.*?^ *\}", DOCS.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    location = found[0].replace("http://127.0.0.1:8000/", f"{backend}/")
    assert location != found[0]
    # The test speaks plain HTTP to nginx, and wants to be taken for a browser that speaks TLS.
    return location.replace("$scheme", "https")


@pytest.fixture(scope="module")
def behind(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("nginx")
    app = app_of(archive, TOKEN, hosts=Hosts("127.0.0.1", [NAME]))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(app, proxies=["127.0.0.1"], root_path="/imageclef") as backend:
        settings = folder / "nginx.conf"
        location = documented(backend)
        # Started by root, its workers would be another user, who may not write here.
        user = "user root;" if os.getuid() == 0 else ""
        text = SETTINGS.format(user=user, folder=folder, port=port, name=NAME, location=location)
        settings.write_text(text)
        process = subprocess.Popen([str(NGINX), "-e", "stderr", "-p", str(folder), "-c", str(settings)])
        try:
            base, headers = f"http://127.0.0.1:{port}/imageclef/", {"Host": NAME}
            with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=20) as client:
                wait_for(client)
                yield client
        finally:
            process.terminate()
            process.wait(20)


def wait_for(client: httpx.Client) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            assert client.get("health").status_code == 200
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def bearer() -> dict[str, bytes]:
    return {"Authorization": f"Bearer {TOKEN}".encode()}


def test_the_page_and_its_files_are_served_below_the_path(behind: httpx.Client) -> None:
    page = behind.get("")
    assert page.status_code == 200
    for name in re.findall(r'(?:src|href)="(static/[^"]+)"', page.text):
        assert behind.get(name).status_code == 200


def test_the_token_and_sessions_work_and_cookies_are_secure(behind: httpx.Client, archive: Archive) -> None:
    assert behind.get("images").status_code == 401
    assert behind.get("images", headers=bearer()).status_code == 200
    origin = {"Origin": f"https://{NAME}", "Sec-Fetch-Site": "same-origin"}
    entered = behind.post("session", json={"token": TOKEN}, headers=origin)
    flags = entered.headers["set-cookie"].lower()
    assert entered.status_code == 204
    assert "secure" in flags
    assert "path=/imageclef" in flags
    cookie = {"Cookie": entered.headers["set-cookie"].partition(";")[0]}
    answer = behind.post("similar", data={"id": archive.index.names[0]}, headers=origin | cookie)
    assert answer.status_code == 200
    assert behind.post("similar", headers={"Origin": "https://evil.example"} | cookie).status_code == 403
    assert behind.delete("session", headers=origin | cookie).status_code == 204
    assert behind.get("images", headers=cookie).status_code == 401


def test_addresses_in_answers_are_those_of_the_proxy(behind: httpx.Client, archive: Archive) -> None:
    (hit,) = behind.get("plugin", params={"id": archive.index.names[0], "k": 1}, headers=bearer()).json()
    assert hit["uri"] == f"https://{NAME}/imageclef/images/{hit['extra']['id']}"


def test_head_passes(behind: httpx.Client) -> None:
    head = behind.head("images", headers=bearer())
    assert head.status_code == 200
    assert head.content == b""


def test_an_upload_as_large_as_allowed_passes_and_a_larger_one_is_refused(behind: httpx.Client) -> None:
    within = behind.post("similar", files={"image": b"0" * (31 * 2**20)}, headers=bearer())
    assert within.status_code == 422
    assert behind.post("similar", files={"image": b"0" * (33 * 2**20)}, headers=bearer()).status_code == 413


def test_who_comes_past_the_proxy_is_not_believed(archive: Archive) -> None:
    with running(app_of(archive, TOKEN), proxies=["10.0.0.9"]) as address:
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.9"}
        entered = httpx.post(f"{address}/session", json={"token": TOKEN}, headers=forwarded, trust_env=False)
        assert "secure" not in entered.headers["set-cookie"].lower()
