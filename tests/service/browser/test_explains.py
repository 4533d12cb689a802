"""Answers that explain themselves, in a real browser: why, where, by which features, as the index grows."""

from __future__ import annotations

import re
import shutil
from itertools import cycle
from pathlib import Path

import httpx
import numpy as np
import pytest

pytest.importorskip("selenium", reason="needs selenium, which drives the browser")
from selenium import webdriver
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from imageclef import stages
from imageclef.config import with_profile
from imageclef.service import reload as live
from imageclef.service.served.archive import Archive
from imageclef.stages.serving import application
from tests.service.browser.visitor import Page, needs_a_browser
from tests.service.conftest import Profiled, Walked, running
from tests.walking import with_tables

pytestmark = needs_a_browser

HEAT = """
const canvas = document.querySelector(arguments[0]), pen = canvas?.getContext("2d");
if (!canvas?.width) return null;
const data = pen.getImageData(0, 0, canvas.width, canvas.height).data, warm = [0, 0, 0, 0];
for (let place = 0; place < data.length / 4; place++) {
  const x = place % canvas.width, y = Math.floor(place / canvas.width);
  const quarter = 2 * (y >= canvas.height / 2) + (x >= canvas.width / 2), share = data[4 * place + 3];
  // The line around what is warm is opaque, the warmth is not.
  if (share < 255) warm[quarter] += share;
}
return warm;
"""


def quarters(grid: list[list[float]]) -> np.ndarray:
    """The shares of a grid in its quarters, by row."""
    found = np.array(grid)
    middle = found.shape[0] // 2, found.shape[1] // 2
    parts = [found[rows, columns] for rows in halves(middle[0]) for columns in halves(middle[1])]
    return np.array([part.sum() for part in parts]) / max(found.sum(), 1e-9)


def halves(middle: int) -> tuple[slice, slice]:
    return slice(0, middle), slice(middle, None)


def test_answers_are_explained_over_their_pictures(
    profiles: Page, profiled: Profiled, walked: Walked
) -> None:
    page, query = profiles, walked.queries[0]
    page.upload(query)
    assert not page.all(".heat")
    page.press("e")
    page.until(lambda: page.ids() and len(page.all("#results .heat")) == 24)
    assert page.one("#why").get_attribute("aria-pressed") == "true"
    assert page.text("#why-note").startswith("Warm regions add most")
    assert "why=1" in page.driver.current_url
    fields = {"k": 24, "why": True}
    with query.open("rb") as file:
        answer = httpx.post(
            f"{profiled.address}/similar", data=fields, files={"image": file}, trust_env=False
        ).json()
    for place in (0, 5):
        hit = answer["hits"][place]
        page.script("document.querySelectorAll('#results .card > button')[arguments[0]].focus()", place)
        page.until(lambda hit=hit: f"like {hit['id']}, number {hit['rank']}" in page.text("#preview-why"))
        for selector, grid in (
            (f'#results [data-id="{hit["id"]}"] .heat', hit["regions"]["image"]),
            ("#preview-frame .heat", hit["regions"]["query"]),
        ):
            warm = np.array(page.until(lambda selector=selector: page.script(HEAT, selector)), float)
            np.testing.assert_allclose(warm / max(warm.sum(), 1), quarters(grid), atol=0.1)
            label = page.one(selector).get_attribute("aria-label")
            assert re.match(r"Warm (at the|in the|nowhere)", label)
    page.one("#why").click()
    page.until(lambda: page.ids() and not page.all(".heat"))
    assert not page.one("#why-note").is_displayed()


def test_features_without_places_are_explained_in_a_sentence(page: Page, walked: Walked) -> None:
    page.upload(walked.queries[0])
    page.one("#why").send_keys(Keys.ENTER)
    page.until(lambda: "no place in the picture" in page.text("#why-note"))
    assert not page.all(".heat")
    assert re.match(r"Shares (\d of \d|no) concept", page.text("#results .card .about p"))
    assert page.script("return document.activeElement.id") == "why"


def test_a_column_narrows_and_lets_go(page: Page, walked: Walked, archive: Archive) -> None:
    first = page.upload(walked.queries[1])
    (column,) = archive.columns()
    value = column.values[-1]
    Select(page.one("#columns select")).select_by_value(value.value)
    found = page.changed_from(first)
    assert len(found) == min(24, value.images)
    assert set(archive.search.metadata.loc[found, column.column]) == {value.value}
    assert f"where={column.column}%3D{value.value}" in page.driver.current_url
    assert page.script("return document.activeElement.dataset.column") == column.column
    page.open(page.driver.current_url.partition("/?")[2].join(["?", ""]))
    page.until(lambda: page.all("#filters .chip"))
    assert Select(page.one("#columns select")).first_selected_option.get_attribute("value") == value.value
    page.one("#filters .chip").click()
    page.until(lambda: page.ids() and not page.all("#filters .chip"))
    assert "where" not in page.driver.current_url


def test_profiles_can_be_chosen_between(profiles: Page, profiled: Profiled, walked: Walked) -> None:
    page = profiles
    chosen = Select(page.one("#profile"))
    assert [one.text for one in chosen.options][1:] == ["both", "pixels"]
    own = page.upload(walked.queries[2])
    chosen.select_by_visible_text("pixels")
    found = page.changed_from(own)
    assert "profile=pixels" in page.driver.current_url
    pixels = stages.similar(with_profile(profiled.config, "pixels"), [walked.queries[2]], k=24)
    assert found == [one["id"] for one in pixels.figures["neighbors"]]
    page.until(lambda: page.text("#facts-title") == "Detected concepts")
    page.driver.back()
    page.until(lambda: page.ids() == own)
    assert Select(page.one("#profile")).first_selected_option.get_attribute("value") == ""


def test_one_profile_is_no_choice(page: Page) -> None:
    assert not page.one("#profiles").is_displayed()


def test_an_index_that_grows_is_shown_as_it_grows(
    driver: webdriver.Chrome, walked: Walked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PAUSE", 0.05)
    shutil.copytree(walked.config.workspace, tmp_path / "artifacts")
    own = with_tables(walked.config, workspace=tmp_path / "artifacts")
    with running(application(own)) as address:
        page = Page(driver, address)
        page.open()
        before = page.text("#size")
        added = stages.index_add(own, "test").figures["added"]
        assert added
        # Whatever is asked then shows it: the size above, and images that were not there.
        queries = cycle(walked.queries[:2])
        page.until(lambda: page.upload(next(queries)) and page.text("#size") != before)
        assert int(page.text("#size").split()[0]) == int(before.split()[0]) + added
        assert page.upload(walked.queries[2])[0] == walked.queries[2].stem
