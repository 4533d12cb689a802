"""The page for everyone, in a real browser: by keyboard, in either scheme, on a phone, with a token."""

from __future__ import annotations

import pytest

pytest.importorskip("selenium", reason="needs selenium, which drives the browser")
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from imageclef.service.served.archive import Archive
from tests.service.browser.visitor import Page, needs_a_browser
from tests.service.conftest import TOKEN, Walked

pytestmark = needs_a_browser

NAMELESS = """
return [...document.querySelectorAll("button, a, input, select, canvas")].filter((one) => one.offsetParent)
  .filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length))
  .map((one) => one.outerHTML);
"""
# WCAG 2.2, success criterion 1.4.3.
WORST_CONTRAST = """
const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = (colour) => {
  const [r, g, b] = colour.match(/[0-9.]+/g).map(Number).map(linear);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (one) => {
  for (; one; one = one.parentElement) {
    const colour = getComputedStyle(one).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }
};
const texts = [...document.querySelectorAll("h1, h2, p, .chip, .button, button, a, .fact b")]
  .filter((one) => one.offsetParent && one.textContent.trim() && !one.closest(".unsure, .card > button"));
return Math.min(...texts.map((one) => {
  const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}));
"""


def test_the_keyboard_is_enough(page: Page, archive: Archive) -> None:
    asked = archive.index.names[20]
    before = page.ids()
    page.press("/")
    page.press(asked, Keys.ENTER)
    found = page.changed_from(before)
    assert page.text("#what") == asked

    def here() -> str | None:
        return page.script("return document.activeElement.dataset.id ?? null")

    page.until(lambda: here() == found[0])
    page.press(Keys.ARROW_RIGHT)
    assert here() == found[1]
    columns = page.script('return getComputedStyle(results).gridTemplateColumns.split(" ").length')
    page.press(Keys.ARROW_DOWN)
    assert here() == found[1 + columns]
    page.press(Keys.ENTER)
    again = page.changed_from(found)
    assert page.text("#what") == found[1 + columns]
    page.until(lambda: here() == again[0])
    # On by tabs: the link to the picture, then the first concept, which Enter requires.
    page.press(Keys.TAB, Keys.TAB)
    concept = page.script("return document.activeElement.dataset.concept")
    page.press(Keys.ENTER)
    page.until(lambda: f"with={concept}" in page.driver.current_url)
    page.until(lambda: page.script("return document.activeElement.dataset.concept") == concept)
    # The map: opened, zoomed, and searched from its middle.
    if page.one("#map-panel").is_displayed():
        page.one("#map-toggle").send_keys(Keys.ENTER)
    page.one("#map-toggle").send_keys(Keys.ENTER)
    page.until(lambda: page.text("#map-legend"))
    shown = page.ids()
    page.script('document.getElementById("map").focus()')
    page.press("+", Keys.ARROW_LEFT, "+")
    said = page.until(lambda: page.text("#map-says"))
    page.press(Keys.ENTER)
    page.changed_from(shown)
    assert page.text("#what") in said


def test_everything_that_is_reached_has_a_name(page: Page, walked: Walked) -> None:
    page.upload(walked.queries[0])
    assert page.script(NAMELESS) == []
    pictures = page.script(
        'return [...document.querySelectorAll("#results img, #preview")].map((one) => one.alt)'
    )
    assert all(pictures)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(page: Page, walked: Walked, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        page.upload(walked.queries[0])
        page.script("document.querySelectorAll('#results .chip')[0].click()")
        page.until(lambda: page.all("#results .chip.require"))
        assert page.script(WORST_CONTRAST) >= 4.5
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_colours_are_kept_as_the_visitor_wants_them(page: Page) -> None:
    def paper() -> str:
        return str(page.script("return getComputedStyle(document.body).backgroundColor"))

    before = paper()
    page.one("#theme").click()
    after = paper()
    assert after != before
    page.open()
    assert paper() == after
    page.one("#theme").click()
    assert paper() == before


def test_a_phone_shows_it_without_scrolling_sideways(page: Page, walked: Walked) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        page.open()
        page.upload(walked.queries[0])
        page.one("#map-toggle").click()
        page.until(lambda: page.text("#map-legend"))
        assert page.script("return document.documentElement.scrollWidth <= innerWidth")
        heights = page.script(
            'return [...document.querySelectorAll("button, .button, select")].map((one) => one.offsetHeight)'
        )
        assert min(height for height in heights if height) >= 30
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_token_is_asked_for_once(driver: webdriver.Chrome, guarded: str) -> None:
    page = Page(driver, guarded)
    driver.get(guarded + "/")
    page.until(lambda: page.one("#ask-token").is_displayed())
    page.one("#token").send_keys("wrong", Keys.ENTER)
    page.until(lambda: page.one("#token-message").is_displayed())
    page.one("#token").clear()
    page.one("#token").send_keys(TOKEN, Keys.ENTER)
    page.until(lambda: page.ids())
    assert not page.one("#ask-token").is_displayed()
    driver.get(guarded + "/")
    page.until(lambda: page.ids())
    assert TOKEN not in str(driver.get_cookies())
