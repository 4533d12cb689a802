"""Why, where, and by which features: what a question can ask beside its images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from imageclef import stages
from imageclef.config import with_profile
from imageclef.data.collection import read_groups
from imageclef.retrieval.similar import EXPLAINED
from imageclef.workspace import TRAIN
from tests.service.conftest import Profiled, Walked


@pytest.fixture(scope="module")
def profiles(profiled: Profiled) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=profiled.address, timeout=20, trust_env=False) as client:
        yield client


def ask(client: httpx.Client, image: Path | None = None, profile: str = "", **fields: Any) -> dict[str, Any]:
    files = None if image is None else {"image": image.read_bytes()}
    response = client.post(
        "/similar", params={"profile": profile} if profile else None, data=fields, files=files
    )
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


# ---- Why


def test_regions_are_those_of_the_command(profiles: httpx.Client, profiled: Profiled, walked: Walked) -> None:
    query = walked.queries[0]
    answer = ask(profiles, query, k=4, why=True)
    figures = stages.similar(profiled.config, [query], k=4, why=True).figures
    expected, asked = figures["neighbors"], answer["query"]
    assert [one["concept"] for one in asked["concepts"]] == figures["query"]["concepts"]
    assert asked["concepts_from"] == figures["query"]["concepts_from"]
    assert answer["explained"] == EXPLAINED
    assert [hit["id"] for hit in answer["hits"]] == [one["id"] for one in expected]
    for hit, one in zip(answer["hits"], expected, strict=True):
        assert hit["regions"] == one["regions"]
        assert (hit["collection"], hit["shared"]) == (one["collection"], one["shared"])


def test_an_indexed_image_is_explained_as_its_file_is(profiles: httpx.Client, walked: Walked) -> None:
    path = min((walked.folder / "train").rglob("*.jpg"))
    by_id, by_file = ask(profiles, id=path.stem, k=3, why=True), ask(profiles, path, k=4, why=True)
    for one, other in zip(by_id["hits"], by_file["hits"][1:], strict=True):
        assert one["id"] == other["id"]
        assert one["regions"] == other["regions"]


def test_nothing_is_explained_unasked(profiles: httpx.Client, walked: Walked) -> None:
    answer = ask(profiles, walked.queries[0], k=2)
    assert answer["explained"] is None
    assert [hit["regions"] for hit in answer["hits"]] == [None, None]


@pytest.mark.parametrize(
    ("profile", "said"), [("pixels", "no place in the picture"), ("both", "features of 2 learners")]
)
def test_features_without_places_say_so(
    profiles: httpx.Client, walked: Walked, profile: str, said: str
) -> None:
    answer = ask(profiles, walked.queries[0], profile, k=2, why=True)
    assert said in answer["explained"]
    assert [hit["regions"] for hit in answer["hits"]] == [None, None]


def test_an_unlisted_upload_shares_what_is_detected_in_it(
    client: httpx.Client, walked: Walked, tmp_path: Path
) -> None:
    # Other bytes than those of the listed image: then its concepts are those that are detected.
    query = tmp_path / "another.png"
    Image.open(walked.queries[0]).save(query)
    found = client.post("/concepts", files={"image": query.read_bytes()}).json()["concepts"]
    detected = {one["concept"] for one in found if one["detected"]}
    answer = ask(client, query, k=20)
    assert answer["query"]["concepts_from"] == "the classifier"
    assert {one["concept"] for one in answer["query"]["concepts"]} == detected
    for hit in answer["hits"]:
        assert set(hit["shared"]) == detected & {one["concept"] for one in hit["concepts"]}


# ---- Where


def test_a_column_narrows_the_search_before_it_is_made(client: httpx.Client, walked: Walked) -> None:
    query, groups = walked.queries[1], walked.config.collection(TRAIN).groups
    assert groups is not None
    modality = read_groups(groups).metadata["modality"]
    (column,) = client.get("/columns").json()["columns"]
    assert column["column"] == "modality"
    assert [one["images"] for one in column["values"]] == sorted(
        (one["images"] for one in column["values"]), reverse=True
    )
    for one in column["values"]:
        answer = ask(client, query, k=200, where=f"modality={one['value']}")
        assert len(answer["hits"]) == one["images"]
        assert {modality[hit["id"]] for hit in answer["hits"]} == {one["value"]}
    rare = column["values"][-1]["value"]
    expected = stages.similar(walked.config, [query], k=3, where=[f"modality={rare}"]).figures["neighbors"]
    assert [hit["id"] for hit in ask(client, query, k=3, where=f"modality={rare}")["hits"]] == [
        one["id"] for one in expected
    ]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("modality", "expected COLUMN=VALUE"),
        ("=ct", "expected COLUMN=VALUE"),
        ("modality=nothing", "no image of the index has modality = 'nothing'"),
        ("group=T00001", "no column 'group' in the metadata; it has modality"),
        ("ID=T00001", "no column 'ID' in the metadata; it has modality"),
    ],
)
def test_a_filter_that_is_none_is_a_sentence(
    client: httpx.Client, walked: Walked, where: str, said: str
) -> None:
    response = client.post("/similar", data={"where": where}, files={"image": walked.queries[0].read_bytes()})
    assert response.status_code == 422
    assert said in response.json()["detail"]


# ---- Profiles


def test_profiles_whose_index_is_there_are_listed(profiles: httpx.Client, profiled: Profiled) -> None:
    listed = profiles.get("/profiles").json()["profiles"]
    assert [one["name"] for one in listed] == ["", "both", "pixels"]
    assert listed[1]["weights"] == [3.0, 1.0]
    assert len(listed[1]["features"]) == 2
    assert profiles.get("/collection", params={"profile": "never"}).status_code == 404


@pytest.mark.parametrize("profile", ["both", "pixels"])
def test_a_profile_answers_as_the_command_does(
    profiles: httpx.Client, profiled: Profiled, walked: Walked, profile: str
) -> None:
    query = walked.queries[2]
    config = with_profile(profiled.config, profile)
    expected = stages.similar(config, [query], k=8).figures["neighbors"]
    hits = ask(profiles, query, profile, k=8)["hits"]
    assert [hit["id"] for hit in hits] == [one["id"] for one in expected]
    assert [hit["similarity"] for hit in hits] == pytest.approx(
        [one["similarity"] for one in expected], abs=1e-5
    )
    own = ask(profiles, query, k=8)["hits"]
    assert [hit["id"] for hit in own] != [hit["id"] for hit in hits]


def test_concepts_are_detected_where_the_classifier_is_of_these_features(
    profiles: httpx.Client, walked: Walked
) -> None:
    detects = {
        name: profiles.get("/collection", params={"profile": name}).json()["detects"]
        for name in ("", "both", "pixels")
    }
    assert detects == {"": False, "both": False, "pixels": True}
    upload = {"image": walked.queries[0].read_bytes()}
    assert profiles.post("/concepts", params={"profile": "both"}, files=upload).status_code == 409
    assert profiles.post("/concepts", params={"profile": "pixels"}, files=upload).status_code == 200


def test_a_plugin_gets_addresses_of_its_profile(profiles: httpx.Client, walked: Walked) -> None:
    path = min((walked.folder / "train").rglob("*.jpg"))
    hits = profiles.get("/plugin", params={"id": path.stem, "k": 2, "profile": "pixels"}).json()
    assert all(hit["uri"].endswith("?profile=pixels") for hit in hits)
    assert profiles.get(hits[0]["uri"]).status_code == 200


def test_a_picture_is_sent_again_only_when_it_has_changed(client: httpx.Client, walked: Walked) -> None:
    path = min((walked.folder / "train").rglob("*.jpg"))
    for address in (f"/images/{path.stem}", f"/images/{path.stem}?size=64"):
        first = client.get(address)
        again = client.get(address, headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304
        assert not again.content
        assert client.get(address, headers={"If-None-Match": '"x"'}).content == first.content
