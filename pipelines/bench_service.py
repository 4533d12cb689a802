"""Measure a running service: many clients at once, percentiles of the time to an answer, errors.

    imageclef serve &
    python pipelines/bench_service.py FOLDER [--clients 32] [--seconds 60] [--slow 300]

--address is that of the service, by default http://127.0.0.1:8000.

With --slow it measures twice, alone and beside so many slow clients: a third sends half a head, a third
the beginning of an upload, a third the beginning of a `POST /session`; each sends another byte a second, and
connects again when it is closed.

Each client asks again as soon as it was answered: half of the questions are uploads of images from FOLDER, a
quarter are indexed images, a quarter are thumbnails. A 503 is counted apart: so a full service answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np

KINDS = ("upload", "upload", "id", "thumbnail")


@dataclass
class Tally:
    """What was seen of one kind of question: seconds of those answered, and statuses of the others."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    errors: list[str] = field(default_factory=list)


async def ask(client: httpx.AsyncClient, kind: str, image: bytes, image_id: str) -> httpx.Response:
    """One question."""
    if kind == "upload":
        return await client.post("/similar", files={"image": image}, data={"k": "20"})
    if kind == "id":
        return await client.post("/similar", data={"id": image_id, "k": "20"})
    return await client.get(f"/images/{image_id}", params={"size": 256})


async def visit(
    client: httpx.AsyncClient,
    images: list[bytes],
    ids: list[str],
    until: float,
    seed: int,
    tally: dict[str, Tally],
) -> None:
    """One client, until the time is over."""
    chance = random.Random(seed)
    while time.perf_counter() < until:
        kind = chance.choice(KINDS)
        began = time.perf_counter()
        try:
            response = await ask(client, kind, chance.choice(images), chance.choice(ids))
        except httpx.HTTPError as error:
            tally[kind].errors.append(type(error).__name__)
            continue
        if response.status_code == 200:
            tally[kind].seconds.append(time.perf_counter() - began)
        elif response.status_code == 503:
            tally[kind].refused += 1
            await asyncio.sleep(float(response.headers["retry-after"]))
        else:
            tally[kind].errors.append(str(response.status_code))


def summary(tally: Tally, seconds: float) -> dict[str, object]:
    """Rate, percentiles in milliseconds, and what went wrong."""
    percentiles = np.percentile(tally.seconds, [50, 95, 99]) * 1000 if tally.seconds else [float("nan")] * 3
    return {
        "answered": len(tally.seconds),
        "per_second": round(len(tally.seconds) / seconds, 1),
        **{f"p{p}_ms": round(float(ms), 1) for p, ms in zip((50, 95, 99), percentiles, strict=True)},
        "refused_503": tally.refused,
        "errors": sorted(tally.errors)[:5],
        "n_errors": len(tally.errors),
    }


async def measure(
    address: str, folder: Path, clients: int, seconds: float, token: str | None
) -> dict[str, object]:
    """Run all clients and add up what they saw."""
    images = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[:200]]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(
        base_url=address, headers=headers, limits=limits, timeout=60, trust_env=False
    ) as client:
        listed = (
            (await client.get("/images", params={"limit": 200, "sample": True})).raise_for_status().json()
        )
        ids = [one["id"] for one in listed["images"]]
        tally: dict[str, Tally] = defaultdict(Tally)
        began = time.perf_counter()
        visits = (visit(client, images, ids, began + seconds, seed, tally) for seed in range(clients))
        await asyncio.gather(*visits)
        taken = time.perf_counter() - began
    every = Tally(
        [one for kind in tally.values() for one in kind.seconds],
        sum(kind.refused for kind in tally.values()),
        [one for kind in tally.values() for one in kind.errors],
    )
    kinds = {kind: summary(tally[kind], taken) for kind in sorted(tally)}
    return {"clients": clients, "seconds": round(taken, 1), "all": summary(every, taken), **kinds}


HEADS = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
    b"POST /similar HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    b'Content-Length: 3000\r\n\r\n--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n',
    b"POST /session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 3000\r\n\r\n{",
)


async def dawdle(address: str, begun: bytes) -> None:
    """One slow client, until it is cancelled."""
    where = urlsplit(address)
    while True:
        try:
            _, writer = await asyncio.open_connection(where.hostname, where.port)
            writer.write(begun)
            while not writer.is_closing():
                await asyncio.sleep(1)
                writer.write(b"x")
                await writer.drain()
        except OSError:
            await asyncio.sleep(0.1)


async def beside(slow: int, asked: argparse.Namespace, token: str | None) -> dict[str, object]:
    """Measure beside some slow clients."""
    tasks = [asyncio.create_task(dawdle(asked.address, HEADS[n % len(HEADS)])) for n in range(slow)]
    await asyncio.sleep(2 if slow else 0)
    found = await measure(asked.address, asked.folder, asked.clients, asked.seconds, token)
    for task in tasks:
        task.cancel()
    return {"slow": slow, **found}


def main() -> None:
    """Parse the command line, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="images to upload")
    parser.add_argument("--address", default="http://127.0.0.1:8000")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--slow", type=int, default=0, help="slow clients beside them")
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    token = os.environ.get("IMAGECLEF_TOKEN")
    for slow in (0, args.slow) if args.slow else (0,):
        print(json.dumps(asyncio.run(beside(slow, args, token)), indent=2), flush=True)


if __name__ == "__main__":
    main()
