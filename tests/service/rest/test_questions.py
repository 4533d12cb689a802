"""What is searched and detected over HTTP, and how it is refused."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from imageclef import stages
from imageclef.data.concept_list import read_concept_list
from imageclef.errors import ImageRefused
from imageclef.service.served.archive import Archive
from imageclef.workspace import TRAIN
from tests.service.conftest import Walked, app_of, client_of
from tests.service.rest.asking import an_id, post, sentence


def test_an_upload_finds_what_the_command_finds(client: httpx.Client, walked: Walked) -> None:
    query = walked.queries[0]
    answer = post(client, "/similar", query, k=12).json()
    figures = stages.similar(walked.config, [query], k=12).figures
    expected = figures["neighbors"]
    assert [hit["id"] for hit in answer["hits"]] == [hit["id"] for hit in expected]
    assert [hit["similarity"] for hit in answer["hits"]] == pytest.approx(
        [hit["similarity"] for hit in expected]
    )
    assert (answer["query"]["uploads"], answer["query"]["ids"]) == (1, [])
    assert [one["concept"] for one in answer["query"]["concepts"]] == figures["query"]["concepts"]
    assert answer["query"]["concepts_from"] == figures["query"]["concepts_from"]
    for hit, one in zip(answer["hits"], expected, strict=True):
        assert (hit["collection"], hit["shared"]) == (one["collection"], one["shared"])
    assert [hit["rank"] for hit in answer["hits"]] == list(range(1, 13))


def test_an_indexed_image_finds_others_and_not_itself(
    client: httpx.Client, archive: Archive, walked: Walked
) -> None:
    asked = an_id(archive)
    answer = post(client, "/similar", id=asked, k=len(archive.index)).json()
    found = [hit["id"] for hit in answer["hits"]]
    assert len(found) == len(archive.index) - 1 == len(set(found))
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
    first, second, *_ = list(archive.search.concepts.rows_of)
    fields = {"id": an_id(archive), "k": 200, "with": [first], "without": [second]}
    found = {hit["id"] for hit in post(client, "/similar", **fields).json()["hits"]}
    passing = {
        one for one in archive.index.names if first in own.get(one, ()) and second not in own.get(one, ())
    }
    assert found == passing - {an_id(archive)}
    assert passing


def test_several_images_are_joined(client: httpx.Client, archive: Archive) -> None:
    one, other = archive.index.names[3], archive.index.names[60]
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


@cache
def bad(kind: str, good: Path) -> bytes:
    """A file that is no picture."""
    bomb = BytesIO()
    if kind == "bomb":
        Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    return {
        "text": b"I am no picture",
        "empty": b"",
        "truncated": good.read_bytes()[:700],
        "bomb": bomb.getvalue(),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    }[kind]


@pytest.mark.parametrize("route", ["/similar", "/concepts", "/plugin"])
@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "bomb", "svg"])
def test_a_bad_upload_is_a_sentence_without_a_path(
    client: httpx.Client, walked: Walked, route: str, kind: str
) -> None:
    response = post(client, route, bad(kind, walked.queries[0]))
    assert response.status_code == 422
    said = sentence(response)
    assert "expected an image" in said
    assert "/tmp" not in said
    assert str(walked.folder) not in said


def test_a_reader_that_names_its_file_is_not_repeated(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def talkative(path: Path, *_: object) -> None:
        raise ImageRefused("damaged", f"bad block in {path}")

    monkeypatch.setattr("imageclef.features.encoding.decode_guarded", talkative)
    said = sentence(post(client, "/similar", b"x"))
    assert said == "the file cannot be read: damaged: bad block in the file; expected an image"


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
    with client_of(app_of(replace(archive, detector=None))) as client:
        response = post(client, "/concepts", walked.queries[0])
        assert response.status_code == 409
        assert "imageclef classify" in sentence(response)
        assert client.get("/collection").json()["detects"] is False
