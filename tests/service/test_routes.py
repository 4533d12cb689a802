"""Every route of the service over HTTP: what it answers, and how it refuses."""

from __future__ import annotations

import json
import re
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from imageclef import stages
from imageclef.data.concept_list import read_concept_list
from imageclef.errors import ImageRefused
from imageclef.service.access import Gate
from imageclef.service.app import create_app
from imageclef.service.archive import Archive
from imageclef.service.gallery import SIDES
from imageclef.workspace import TRAIN
from tests.service.conftest import Walked, client_of


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
    return archive.searcher.ids[7]


# ---- POST /similar


def test_an_upload_finds_what_the_command_finds(client: httpx.Client, walked: Walked) -> None:
    query = walked.queries[0]
    answer = post(client, "/similar", query, k=12).json()
    expected = stages.similar(walked.config, [query], k=12).figures["neighbors"]
    assert [hit["id"] for hit in answer["hits"]] == [hit["id"] for hit in expected]
    assert [hit["similarity"] for hit in answer["hits"]] == pytest.approx(
        [hit["similarity"] for hit in expected]
    )
    assert answer["query"] == {"uploads": 1, "ids": [], "concepts": []}
    assert [hit["rank"] for hit in answer["hits"]] == list(range(1, 13))


def test_an_indexed_image_finds_others_and_not_itself(
    client: httpx.Client, archive: Archive, walked: Walked
) -> None:
    asked = an_id(archive)
    answer = post(client, "/similar", id=asked, k=len(archive.searcher)).json()
    found = [hit["id"] for hit in answer["hits"]]
    assert len(found) == len(archive.searcher) - 1 == len(set(found))
    assert asked not in found
    own = read_concept_list(walked.config.collection(TRAIN).concepts)
    assert [one["concept"] for one in answer["query"]["concepts"]] == list(own[asked])
    for hit in answer["hits"]:
        assert [one["concept"] for one in hit["concepts"]] == list(own.get(hit["id"], ()))
        assert set(hit["shared"]) == set(own[asked]) & set(own.get(hit["id"], ()))


def test_the_same_image_as_an_upload_comes_first(client: httpx.Client, walked: Walked) -> None:
    path = min((walked.folder / "train").rglob("*.jpg"))
    hit = post(client, "/similar", path, k=1).json()["hits"][0]
    assert hit["id"] == path.stem
    assert hit["similarity"] == pytest.approx(1, abs=1e-6)


def test_filters_hold_and_k_answers_come_back(client: httpx.Client, archive: Archive, walked: Walked) -> None:
    own = read_concept_list(walked.config.collection(TRAIN).concepts)
    first, second, *_ = archive.searcher.vocabulary.concepts
    fields = {"id": an_id(archive), "k": 200, "with": [first], "without": [second]}
    found = {hit["id"] for hit in post(client, "/similar", **fields).json()["hits"]}
    passing = {
        one for one in archive.searcher.ids if first in own.get(one, ()) and second not in own.get(one, ())
    }
    assert found == passing - {an_id(archive)}
    assert passing


def test_several_images_are_joined(client: httpx.Client, archive: Archive) -> None:
    one, other = archive.searcher.ids[3], archive.searcher.ids[60]
    answer = post(client, "/similar", id=[one, other], join="best", k=5).json()
    alone = [post(client, "/similar", id=asked, k=7).json()["hits"] for asked in (one, other)]
    nearest: dict[str, float] = {}
    for hit in alone[0] + alone[1]:
        nearest[hit["id"]] = max(hit["similarity"], nearest.get(hit["id"], -1))
    expected = sorted((i for i in nearest if i not in (one, other)), key=lambda i: -nearest[i])[:5]
    assert [hit["id"] for hit in answer["hits"]] == expected


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({}, 422, "nothing was asked"),
        ({"id": "nobody"}, 404, "no image 'nobody'"),
        ({"id": "x", "k": 0}, 422, "^k: "),
        ({"id": "x", "k": 201}, 422, "^k: "),
        ({"id": "x", "k": "many"}, 422, "^k: "),
        ({"id": ["x"] * 9}, 422, "^id: "),
        ({"id": "x", "join": "sum"}, 422, "^join: "),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(
    client: httpx.Client, fields: dict[str, Any], status: int, said: str
) -> None:
    response = post(client, "/similar", **fields)
    assert response.status_code == status
    assert re.search(said, sentence(response))


def test_an_unknown_concept_is_named(client: httpx.Client, archive: Archive) -> None:
    response = post(client, "/similar", id=an_id(archive), **{"with": "C9999999"})
    assert response.status_code == 422
    assert "C9999999" in sentence(response)


def truncated(path: Path) -> bytes:
    return path.read_bytes()[:700]


@pytest.mark.parametrize("route", ["/similar", "/concepts", "/plugin"])
@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "bomb", "svg"])
def test_a_bad_upload_is_a_sentence_without_a_path(
    client: httpx.Client, walked: Walked, route: str, kind: str
) -> None:
    bomb = BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    data = {
        "text": b"I am no picture",
        "empty": b"",
        "truncated": truncated(walked.queries[0]),
        "bomb": bomb.getvalue(),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    }[kind]
    response = post(client, route, data)
    assert response.status_code == 422
    said = sentence(response)
    assert "expected an image" in said
    assert "/tmp" not in said
    assert str(walked.folder) not in said


def test_a_reader_that_names_its_file_is_not_repeated(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def talkative(path: Path, *_: object) -> None:
        raise ImageRefused(f"bad block in {path}")

    monkeypatch.setattr("imageclef.service.encoder.decode", talkative)
    said = sentence(post(client, "/similar", b"x"))
    assert said == "the file cannot be read: bad block in the file; expected an image"


def test_no_upload_stays_on_the_disk(
    client: httpx.Client, walked: Walked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert post(client, "/similar", walked.queries[0]).status_code == 200
    assert post(client, "/similar", b"no image").status_code == 422
    assert list(tmp_path.iterdir()) == []


# ---- POST /concepts


def test_detected_concepts_are_those_of_the_run(client: httpx.Client, walked: Walked) -> None:
    runs = sorted(walked.workspace.runs_path.glob("*.csv"))
    run = {
        line.split("\t")[0]: line.rstrip("\n").split("\t")[1].split(";")
        for line in runs[0].open()
        if "\t" in line
    }
    for query in walked.queries[:6]:
        answer = post(client, "/concepts", query).json()
        detected = {one["concept"] for one in answer["concepts"] if one["detected"]}
        assert detected == {concept for concept in run[query.stem] if concept}
        order = [(not one["detected"], -one["score"]) for one in answer["concepts"]]
        assert order == sorted(order), "those detected first, then by falling score"
        for one in answer["concepts"]:
            assert one["detected"] is (one["score"] >= one["threshold"])


def test_without_a_classifier_it_says_how_to_make_one(archive: Archive, walked: Walked) -> None:
    bare = Archive(archive.searcher, archive.encoder, archive.gallery, {}, {}, None, archive._projection)
    with client_of(create_app(bare, Gate("127.0.0.1", None))) as client:
        response = post(client, "/concepts", walked.queries[0])
        assert response.status_code == 409
        assert "imageclef classify" in sentence(response)
        assert client.get("/collection").json()["detects"] is False


# ---- GET


def test_concepts_are_listed_by_falling_count(client: httpx.Client, walked: Walked) -> None:
    listed = client.get("/concepts").json()["concepts"]
    own = read_concept_list(walked.config.collection(TRAIN).concepts)
    indexed = {one["id"] for one in client.get("/images?limit=200").json()["images"]}
    for one in listed:
        assert one["images"] == sum(one["concept"] in own.get(image, ()) for image in indexed)
        assert one["name"] != one["concept"]
    assert [one["images"] for one in listed] == sorted((one["images"] for one in listed), reverse=True)


def test_images_can_be_looked_up_by_a_part_of_their_id(client: httpx.Client, archive: Archive) -> None:
    part = archive.searcher.ids[50][2:]
    found = client.get("/images", params={"q": part}).json()
    assert [one["id"] for one in found["images"]] == [one for one in archive.searcher.ids if part in one][:24]
    spread = client.get("/images?sample=true&limit=5").json()["images"]
    assert [one["id"] for one in spread][::4] == [archive.searcher.ids[0], archive.searcher.ids[-1]]


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
    assert max(served.size) == side
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
    response = client.delete("/concepts")
    assert response.status_code == 405
    assert "allow" in response.headers
    assert sentence(response)


def test_the_map_has_a_place_for_each_image(client: httpx.Client, archive: Archive, walked: Walked) -> None:
    points = client.get("/map").json()
    assert points["ids"] == archive.searcher.ids
    assert len(points["x"]) == len(points["y"]) == points["total"] == len(archive.searcher)
    own = read_concept_list(walked.config.collection(TRAIN).concepts)
    concept = archive.searcher.vocabulary.concepts[2]
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
