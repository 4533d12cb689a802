"""How tests ask the service, and read how it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from imageclef.service.served.archive import Archive


def post(client: httpx.Client, path: str, image: Path | bytes | None = None, **fields: Any) -> httpx.Response:
    files = (
        None
        if image is None
        else {"image": ("../../etc/passwd", image if isinstance(image, bytes) else image.read_bytes())}
    )
    return client.post(path, data=fields, files=files)


def sentence(response: httpx.Response) -> str:
    body = response.json()
    assert set(body) == {"detail"}
    assert isinstance(body["detail"], str)
    return body["detail"]


def an_id(archive: Archive) -> str:
    return archive.index.names[7]
