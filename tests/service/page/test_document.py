from __future__ import annotations

import re

import httpx
import pytest

from imageclef.service.page.document import page, static_files

SOURCES = {"the page": page(), **{name: file.data.decode() for name, file in static_files().items()}}


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_outside_is_referred_to(name: str) -> None:
    text = SOURCES[name].replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"(https?:)?//[a-z0-9.]+\.[a-z]{2,}", text)
    assert "@import" not in text


def test_the_page_has_no_script_or_style_of_its_own() -> None:
    html = SOURCES["the page"]
    assert not re.search(r"<script(?![^>]*src=)", html)
    assert "<style" not in html
    assert not re.search(r"\s(style|on[a-z]+)=", html)


@pytest.mark.parametrize("name", [name for name in SOURCES if name.endswith(".js")])
def test_text_never_enters_the_page_as_markup(name: str) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", SOURCES[name]
    )


def test_every_control_has_a_name_and_every_id_is_used_once() -> None:
    html = SOURCES["the page"]
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    for control in re.findall(r'<(?:input|select)[^>]*\sid="([^"]+)"', html):
        assert f'for="{control}"' in html, control
    assert all("alt=" in image for image in re.findall(r"<img[^>]*>", html))
    wanted = set(re.findall(r'\$\("([^"]+)"\)', SOURCES["page.js"]))
    assert wanted <= set(ids)


def test_files_are_fetched_again_only_when_they_change(client: httpx.Client) -> None:
    first = client.get("/static/page.css")
    assert first.headers["content-type"].startswith("text/css")
    again = client.get("/static/page.css", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert not again.content
    assert client.get("/static/page.css", headers={"If-None-Match": '"x"'}).status_code == 200
