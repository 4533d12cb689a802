"""Whatever is sent, the answer is a status of the description with a sentence, and never a fault of ours."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PART = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n--x--\r\n'
ODD = st.sampled_from(
    [
        *("", "\0", "..", "../..", "\r\nX: y", "C0040405", "modality=ct", "a=b", "both"),
        *("-1", "1e9", "true", "null", "[]", '"', "%", "ä", "😀"),
    ]
)
VALUES = st.one_of(ODD, st.text(st.characters(codec="utf-8"), max_size=30), st.integers().map(str))
NAMES = st.sampled_from(
    [
        *("id", "image", "k", "with", "without", "where", "why", "join", "q", "limit", "sample", "size"),
        *("profile", "x"),
    ]
)
PARTS = st.tuples(NAMES, st.sampled_from([b"", b'; filename="a"', b'; filename=""']), st.binary(max_size=40))
BODIES = st.one_of(
    st.just(b""),
    st.binary(max_size=60),
    st.sampled_from(
        [b"{}", b"[]", b"null", b'{"token":1}', b'{"token":"\\ud800"}', b'{"token":"x","y":1}', b"--x--"]
    ),
    PARTS.map(lambda part: PART % (part[0].encode(), part[1], part[2])),
    st.lists(st.tuples(NAMES, VALUES)).map(
        lambda pairs: "&".join(f"{n}={quote(v)}" for n, v in pairs).encode()
    ),
)
TYPES = st.sampled_from(
    [
        *(
            "",
            "application/json",
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "text/plain",
            "x",
        ),
        *("application/x-www-form-urlencoded", "multipart/form-data; boundary=x; charset=zzz"),
    ]
)
NO_MATTER = [HealthCheck.function_scoped_fixture]  # of conftest: the environment is the same for all
HEADERS = st.sampled_from(
    [
        {},
        {"Origin": "http://["},
        {"Origin": ""},
        {"Host": "["},
        {"Cookie": b"\xff=;;"},
        {"Authorization": b"\xe9"},
    ]
)


@pytest.fixture(scope="module")
def described(client: httpx.Client) -> dict[str, Any]:
    """What the service says that it answers, by path and method."""
    paths: dict[str, Any] = client.get("/openapi.json").json()["paths"]
    return paths


@settings(max_examples=120, deadline=None, suppress_health_check=NO_MATTER)
@given(st.data())
def test_no_request_is_a_fault_of_ours(
    client: httpx.Client, described: dict[str, Any], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(sorted(described)))
    method = data.draw(st.sampled_from([*described[path], "put"]))
    address = path
    for name in ("{image_id}", "{concept}"):
        address = address.replace(name, quote(data.draw(VALUES), safe="") or "x")
    body, kind, headers = data.draw(BODIES), data.draw(TYPES), data.draw(HEADERS)
    params = data.draw(st.lists(st.tuples(NAMES, VALUES), max_size=3))
    if kind:
        headers = {**headers, "Content-Type": kind}
    response = client.request(method, address, params=params, content=body, headers=headers)
    assert response.status_code < 500
    if response.status_code >= 400:
        assert set(response.json()) == {"detail"}
        assert isinstance(response.json()["detail"], str)
    if method != "put" and ".." not in address:
        assert str(response.status_code) in described[path][method]["responses"]
