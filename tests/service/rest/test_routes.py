"""Every route of the service over HTTP: what it answers, and how it refuses."""

from __future__ import annotations

import json
from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image

from imageclef.data.concept_list import read_concept_list
from imageclef.service.served.archive import Archive
from imageclef.service.served.gallery import SIDES
from imageclef.workspace import TRAIN
from tests.service.conftest import Walked
from tests.service.rest.asking import an_id, post, sentence


def test_concepts_are_listed_by_falling_count(client: httpx.Client, walked: Walked) -> None:
    listed = client.get("/concepts").json()["concepts"]
    own = read_concept_list(walked.config.collection(TRAIN).concepts)
    indexed = {one["id"] for one in client.get("/images?limit=200").json()["images"]}
    for one in listed:
        assert one["images"] == sum(one["concept"] in own.get(image, ()) for image in indexed)
        assert one["name"] != one["concept"]
    assert [one["images"] for one in listed] == sorted((one["images"] for one in listed), reverse=True)


def test_images_can_be_looked_up_by_a_part_of_their_id(client: httpx.Client, archive: Archive) -> None:
    part = archive.index.names[50][2:]
    found = client.get("/images", params={"q": part}).json()
    assert [one["id"] for one in found["images"]] == [one for one in archive.index.names if part in one][:24]
    spread = client.get("/images?sample=true&limit=5").json()["images"]
    assert [one["id"] for one in spread][::4] == [archive.index.names[0], archive.index.names[-1]]


def test_a_picture_is_the_pixels_of_its_id(client: httpx.Client, walked: Walked) -> None:
    path = min((walked.folder / "train").rglob("*.jpg"))
    response = client.get(f"/images/{path.stem}")
    assert response.headers["content-type"] == "image/png"
    served, original = (Image.open(source).convert("RGB") for source in (BytesIO(response.content), path))
    assert np.array_equal(np.asarray(served), np.asarray(original))


@pytest.mark.parametrize(("size", "side"), [(1, SIDES[0]), (128, 128), (129, 256), (512, 512)])
def test_a_thumbnail_keeps_the_proportions(
    client: httpx.Client, walked: Walked, size: int, side: int
) -> None:
    path = min((walked.folder / "train").rglob("*.jpg"))
    served = Image.open(BytesIO(client.get(f"/images/{path.stem}?size={size}").content))
    original = Image.open(path)
    assert served.format == "JPEG"
    assert max(served.size) == min(side, max(original.size))
    assert served.width / served.height == pytest.approx(original.width / original.height, rel=0.03)


@pytest.mark.parametrize(
    "path",
    [
        *("/images/nobody", "/images/..%2f..%2fetc%2fpasswd", "/images/%00", "/images/nobody/facts"),
        *("/map/C0", "/nothing", "/static/..%2fpage.py", "/static/page.py", "/docs", "/redoc"),
    ],
)
def test_what_is_not_there_is_a_404(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert sentence(response)


@pytest.mark.parametrize(
    "path", ["/images?limit=0", "/images?limit=x", "/images/a?size=0", "/images/a?size=9999"]
)
def test_a_value_out_of_range_is_a_422(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 422
    assert "input should" in sentence(response)


def test_a_method_that_is_not_meant_is_a_405(client: httpx.Client) -> None:
    for path, allowed in (
        ("/concepts", "GET, HEAD, POST"),
        ("/images", "GET, HEAD"),
        ("/similar", "POST"),
        ("/session", "DELETE, POST"),
    ):
        response = client.put(path)
        assert response.status_code == 405
        assert response.headers["allow"] == allowed
        assert sentence(response) == "method not allowed"


def test_head_is_answered_wherever_get_is(client: httpx.Client, archive: Archive) -> None:
    one = f"/images/{an_id(archive)}"
    concept = next(iter(archive.search.concepts.rows_of))
    paths = ("/", "/health", "/images", "/collection", "/concepts", "/columns", "/profiles", "/map", one)
    for path in (
        *paths,
        f"{one}?size=64",
        f"{one}/facts",
        f"/map/{concept}",
        "/openapi.json",
        "/static/page.js",
    ):
        head, get = client.head(path), client.get(path)
        assert head.status_code == get.status_code == 200
        assert head.content == b""
        for name in ("content-length", "content-type", "etag", "cache-control"):
            assert head.headers.get(name) == get.headers.get(name)
    assert client.head("/metrics").status_code == 200
    assert client.head("/images/nobody").status_code == 404
    assert client.head("/similar").status_code == 405


def test_the_map_has_a_place_for_each_image(client: httpx.Client, archive: Archive, walked: Walked) -> None:
    points = client.get("/map").json()
    assert points["ids"] == archive.index.names
    assert len(points["x"]) == len(points["y"]) == points["total"] == len(archive.index)
    own = read_concept_list(walked.config.collection(TRAIN).concepts)
    concept = list(archive.search.concepts.rows_of)[2]
    places = client.get(f"/map/{concept}").json()["places"]
    assert places == [row for row, one in enumerate(points["ids"]) if concept in own.get(one, ())]


def test_the_plugin_shape(client: httpx.Client, archive: Archive, walked: Walked) -> None:
    asked = an_id(archive)
    hits = client.get("/plugin", params={"id": asked, "k": 4}).json()
    similar = post(client, "/similar", id=asked, k=4).json()["hits"]
    assert [set(hit) for hit in hits] == [{"uri", "score", "extra"}] * 4
    assert [hit["score"] for hit in hits] == [hit["similarity"] for hit in similar]
    assert client.get(hits[0]["uri"]).headers["content-type"] == "image/png"
    assert hits[0]["extra"]["id"] == similar[0]["id"]
    assert len(post(client, "/plugin", walked.queries[0], k=3).json()) == 3
    assert client.get("/plugin").status_code == 422


def test_health_and_metrics(client: httpx.Client) -> None:
    assert client.get("/health").json()["status"] == "ok"
    before = client.get("/metrics")
    assert before.headers["content-type"].startswith("text/plain; version=0.0.4")
    client.get("/images/nobody-of-this-name")
    text = client.get("/metrics").text
    assert 'imageclef_requests_total{method="GET",route="/images/{image_id}",status="404"}' in text
    assert "nobody-of-this-name" not in text


def test_every_status_that_was_seen_is_in_the_description(
    client: httpx.Client, archive: Archive, walked: Walked
) -> None:
    described = client.get("/openapi.json").json()["paths"]
    broken_form = {"Content-Type": "multipart/form-data"}
    seen = [
        ("post", "/similar", post(client, "/similar", id=an_id(archive))),
        ("post", "/similar", post(client, "/similar")),
        ("post", "/similar", post(client, "/similar", id="nobody")),
        ("post", "/similar", post(client, "/similar", b"x" * (33 * 2**20))),
        ("post", "/concepts", post(client, "/concepts")),
        ("get", "/images/{image_id}", client.get("/images/nobody")),
        ("get", "/images/{image_id}", client.get("/images/nobody", headers={"Origin": "http://evil.example"})),
        ("get", "/images/{image_id}", client.get("/images/nobody", headers={"Host": "evil.example"})),
        ("get", "/map/{concept}", client.get("/map/C0")),
        ("post", "/similar", client.post("/similar", content=b"\xff", headers=broken_form)),
        ("post", "/session", client.post("/session", content=b"{")),
    ]  # fmt: skip
    for method, path, response in seen:
        assert str(response.status_code) in described[path][method]["responses"], (path, response.status_code)
        if response.status_code >= 400:
            sentence(response)


def test_the_description_refers_to_nothing_outside(client: httpx.Client) -> None:
    text = json.dumps(client.get("/openapi.json").json())
    assert "://" not in text
    assert "HTTPValidationError" not in text, "refusals are sentences"
