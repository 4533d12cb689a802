"""Measure a running service: many clients at once, percentiles of the time to an answer, errors.

    imageclef serve &
    python pipelines/bench_service.py FOLDER [--clients 32] [--seconds 60] [--address http://127.0.0.1:8000]

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


def main() -> None:
    """Parse the command line, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="images to upload")
    parser.add_argument("--address", default="http://127.0.0.1:8000")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    token = os.environ.get("IMAGECLEF_TOKEN")
    print(
        json.dumps(
            asyncio.run(measure(args.address, args.folder, args.clients, args.seconds, token)), indent=2
        )
    )


if __name__ == "__main__":
    main()
