from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from imageclef.reporting.content import Content, work_out
from imageclef.reporting.examples import Thumbnail, ids_shown
from imageclef.reporting.inputs import read_inputs
from imageclef.reporting.page import render
from tests.reporting.made_up import EDITION, drawn, inputs_of, write_lists, write_scores

VOID = {"meta", "br", "img", "line", "circle", "rect"}
EVIL = "<script>alert('x')</script>\"'&<img src=x onerror=y>"
PICTURE = Thumbnail("data:image/jpeg;base64,AAAA", 96, 48)


class Page(HTMLParser):
    """The elements of a page, checked to be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def content(tmp_path: Path) -> Content:
    truth, answers, scores = drawn(7)
    runs = [write_lists(tmp_path / f"{name}.csv", answers) for name in ("first", "second")]
    write_lists(tmp_path / "second.csv", truth)
    write_scores(runs[0], list(truth), [f"C{place:07}" for place in range(6)], scores)
    runs[0].with_suffix(".json").write_text('{"features": "aae", "held_out": {"threshold": 0.5}}')
    lines = "".join(f"{image_id},g{place // 2},{'xy'[place % 2]}\n" for place, image_id in enumerate(truth))
    (tmp_path / "groups.csv").write_text("ID,group,source\n" + lines)
    inputs = read_inputs(
        runs, write_lists(tmp_path / "t.csv", truth), EDITION, tmp_path / "groups.csv", "source"
    )
    return work_out(inputs, {"C0000000": "Lung"}, draws=50)


def test_a_page_that_needs_nothing_else(content: Content) -> None:
    text = render(content, dict.fromkeys(ids_shown(content.runs[0].examples), PICTURE))
    page = Page(text)
    assert page.all("html") == [{"lang": "en"}]
    outside = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "srcset")
        and value
        and not value.startswith(("data:", "#"))
    ]
    assert outside == []
    assert not page.all("link")
    assert "url(" not in text
    assert "@import" not in text
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {f"#{name}" for name in ids} == {a["href"] for a in page.all("a")}


def test_headings_go_down_by_one(content: Content) -> None:
    levels = [int(tag[1]) for tag, _ in Page(render(content, {})).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_pictures_and_charts_have_words(content: Content) -> None:
    page = Page(render(content, dict.fromkeys(ids_shown(content.runs[0].examples), PICTURE)))
    assert page.all("img")
    assert all((image["alt"] or "").startswith("Image i") for image in page.all("img"))
    charts = page.all("svg")
    # Scores, differences from the first and from the best, sources, one reliability diagram.
    assert len(charts) == 5
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)


def test_it_says_what_the_figures_are(content: Content) -> None:
    words = " ".join(" ".join(Page(render(content, {})).words).split())
    for run in content.runs:
        assert f"{run.measures.f1.value:.4f}" in words
        assert f"{run.measures.macro_f1:.4f}" in words
    assert f"Expected calibration error {content.runs[0].calibration.error:.4f}" in words
    assert "Lung" in words
    assert "held out: threshold 0.5" in words
    assert "50 draws of 20 groups" in words
    assert f"Against run 2, {content.runs[1].name}" in words
    assert "No JSON file stands beside" in words
    assert "Threshold" in words


def test_what_is_missing_is_not_spoken_of(tmp_path: Path) -> None:
    truth, answers, _ = drawn(8)
    words = " ".join(Page(render(work_out(inputs_of(tmp_path, truth, answers), {}, 10), {})).words)
    for word in ("Comparison", "Sources", "Calibration", "Threshold"):
        assert word not in words
    assert "images with replacement" in " ".join(words.split())


def test_what_cannot_be_shown_says_why(content: Content) -> None:
    first = ids_shown(content.runs[0].examples)[0]
    page = Page(render(content, {first: Thumbnail(reason="not an image of a known format")}))
    assert not page.all("img")
    assert "not an image of a known format" in page.words


def test_untrusted_names_are_text(tmp_path: Path) -> None:
    image_id, concept = f"a{EVIL}", f"C1{EVIL}"
    # In the form of 2018 nothing but the separators is refused.
    (tmp_path / "run.csv").write_text(f"{image_id}\t{concept}\nb\tC2\nc\tC2\n")
    (tmp_path / "truth.csv").write_text(f"{image_id}\t{concept}\nb\tC3\nc\tC3\n")
    (tmp_path / "run.json").write_text('{"<script>alert(1)</script>": "<script>alert(2)</script>"}')
    quoted = image_id.replace('"', '""')
    (tmp_path / "groups.csv").write_text(
        f'ID,group,source\n"{quoted}",<i>,<script>alert(3)</script>\nb,g,y\n'
    )
    inputs = read_inputs(
        [tmp_path / "run.csv"], tmp_path / "truth.csv", EDITION, tmp_path / "groups.csv", "source"
    )
    content = work_out(inputs, {"C2": EVIL, "C3": "</title><script>"}, draws=10)
    run = replace(content.runs[0], name=EVIL)
    text = render(replace(content, runs=(run,)), {image_id: Thumbnail(reason=EVIL)})
    page = Page(text)
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert not page.all("i")
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert "alert(3)" in "".join(page.words)
    assert EVIL in page.words


def test_only_the_script_of_the_page_may_run(content: Content) -> None:
    text = render(content, {})
    (script,) = re.findall("<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(meta["content"] or "" for meta in Page(text).all("meta") if "http-equiv" in meta)
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_a_long_table_is_cut_and_says_so(tmp_path: Path) -> None:
    truth = {"a": tuple(f"C{place}" for place in range(7000)), "b": ("C1",)}
    text = render(work_out(inputs_of(tmp_path, truth, {"a": ("C1",), "b": ()}), {}, 10), {})
    assert text.count('<td class="code">') == 6000
    assert "the 6,000 with most support are shown, all are in the JSON file" in text
