"""The page in a real browser, headless: what a visitor does with mouse, touch and keyboard."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="needs selenium, which drives the browser")
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from imageclef.service.archive import Archive
from tests.service.conftest import TOKEN, Walked

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs chromium and chromedriver (Debian: chromium, chromium-driver)"
)
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1400,1000"),
)


EXPECTED = ("status of 422", "status of 401", "getImageData")
"""In the console: refusals that tests ask for, and a remark on how the tests look at the canvas."""

GIVE = """
const bytes = Uint8Array.from(atob(arguments[1]), (one) => one.charCodeAt(0));
const data = new DataTransfer(), init = { bubbles: true, cancelable: true };
data.items.add(new File([bytes], arguments[2], { type: "image/jpeg" }));
document.body.dispatchEvent(arguments[0] === "drop" ? new DragEvent("drop", { dataTransfer: data, ...init })
  : new ClipboardEvent("paste", { clipboardData: data, ...init }));
"""
INKS = """
const canvas = document.getElementById("map"), pen = canvas.getContext("2d"), seen = new Set();
const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
for (let at = 0; at < data.length; at += 4) if (data[at + 3]) seen.add(data[at]);
return [...seen];
"""
TURN_WHEEL = """
const canvas = document.getElementById("map"), box = canvas.getBoundingClientRect();
const [clientX, clientY] = [box.left + box.width / 2 + arguments[0], box.top + box.height / 2 + arguments[1]];
canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -1500, cancelable: true, clientX, clientY }));
"""
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


class Page:
    """The page as a visitor sees it."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver, self.address = driver, address

    def open(self, question: str = "") -> None:
        self.driver.get(self.address + "/" + question)
        self.until(lambda: self.ids())

    def until(self, holds: Callable[[], Any]) -> Any:
        return WebDriverWait(self.driver, 15, poll_frequency=0.05).until(lambda _: holds())

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def script(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def ids(self) -> list[str]:
        """Of the images that are shown, once the page is at rest."""
        code = """return document.getElementById("answers").getAttribute("aria-busy") === "false"
            ? [...document.querySelectorAll("#results [data-id]")].map((one) => one.dataset.id) : []"""
        found: list[str] = self.script(code)
        return found

    def text(self, selector: str) -> str:
        return str(self.script("return document.querySelector(arguments[0]).textContent", selector))

    def changed_from(self, before: list[str]) -> list[str]:
        found: list[str] = self.until(lambda: (now := self.ids()) and now != before and now)
        return found

    def press(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def upload(self, path: Path) -> list[str]:
        before = self.ids()
        self.one("#file").send_keys(str(path))
        return self.changed_from(before)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def page(driver: webdriver.Chrome, address: str) -> Iterator[Page]:
    driver.get_log("browser")
    page = Page(driver, address)
    page.open()
    yield page
    # Blocked by the policy, an error of a script, a file that is not there: the console would say so.
    complaints = [
        one["message"] for one in driver.get_log("browser") if one["level"] in ("SEVERE", "WARNING")
    ]
    assert [one for one in complaints if not any(said in one for said in EXPECTED)] == []


def test_an_upload_is_answered_with_its_neighbours_and_concepts(
    page: Page, walked: Walked, archive: Archive
) -> None:
    query = walked.queries[0]
    found = page.upload(query)
    vectors = archive.encoder.features(query.open("rb"))
    assert found == [one.image_id for one in archive.searcher.by_vectors(vectors, 24)]
    page.until(lambda: page.text("#facts-title") == "Detected concepts")
    detected = [one.concept for one in archive.detect(query.open("rb")).concepts if one.detected]
    shown = page.script(
        'return [...document.querySelectorAll("#facts .fact:not(.unsure) .chip")].map(c => c.dataset.concept)'
    )
    assert shown == detected
    assert query.name in page.text("#what")
    assert page.script('return document.getElementById("preview").naturalWidth') > 0
    page.until(lambda: page.script('return document.querySelector("#results img").naturalWidth') > 0)


def test_a_chip_requires_then_forbids_then_lets_go(page: Page, walked: Walked, archive: Archive) -> None:
    page.upload(walked.queries[1])
    concept = page.one("#results .chip").get_attribute("data-concept")
    has = {archive.searcher.ids[row] for row in archive.searcher.having(concept)}

    def click() -> list[str]:
        before = page.ids()
        page.one(f'#results .chip[data-concept="{concept}"], #filters .chip').click()
        page.until(lambda: page.script("return location.search"))
        return page.until(lambda: (now := page.ids()) and now != before and now)

    assert set(click()) <= has
    assert f"with={concept}" in page.driver.current_url
    assert not set(click()) & has
    assert f"without={concept}" in page.driver.current_url
    page.one("#filters .chip").click()
    page.until(lambda: page.ids() and not page.all("#filters .chip"))
    assert "with" not in page.driver.current_url


def test_a_result_is_searched_from_and_back_leads_back(page: Page, walked: Walked) -> None:
    first = page.upload(walked.queries[2])
    page.all("#results .card > button")[4].click()
    second = page.changed_from(first)
    assert page.text("#what") == first[4]
    assert first[4] not in second
    assert f"id={first[4]}" in page.driver.current_url
    page.driver.back()
    page.until(lambda: page.ids() == first)
    assert walked.queries[2].name in page.text("#what")


def test_an_address_can_be_given_to_others(page: Page, archive: Archive) -> None:
    concept = archive.searcher.vocabulary.concepts[0]
    asked = archive.searcher.ids[9]
    page.open(f"?id={asked}&without={concept}")
    page.until(lambda: page.text("#what") == asked)
    expected = archive.searcher.by_vectors(archive.searcher.vectors_of([asked]), 24, (), [concept], [asked])
    page.until(lambda: page.ids() == [one.image_id for one in expected])


def test_a_text_file_named_png_is_a_sentence(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    path.write_text("I am no picture")
    page.one("#file").send_keys(str(path))
    page.until(lambda: page.one("#message").is_displayed())
    assert "expected an image" in page.text("#message")
    assert page.one("#message").get_attribute("role") == "alert"
    page.one("#again").click()
    page.until(lambda: page.ids())
    assert not page.one("#message").is_displayed()


def test_markup_in_a_file_name_is_text(page: Page, tmp_path: Path, walked: Walked) -> None:
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    path.write_bytes(walked.queries[3].read_bytes())
    page.upload(path)
    assert page.text("#what") == path.name
    assert not page.all("#what img")


def test_dropped_and_pasted_files_are_searched(page: Page, walked: Walked) -> None:
    for how, query in zip(("drop", "paste"), walked.queries[4:6], strict=True):
        before = page.ids()
        page.script(GIVE, how, base64.b64encode(query.read_bytes()).decode(), query.name)
        page.changed_from(before)
        assert page.text("#what") == query.name


def test_the_map_is_drawn_coloured_zoomed_and_clicked(page: Page, archive: Archive) -> None:
    if not page.one("#map-panel").is_displayed():
        page.one("#map-toggle").click()
    page.until(lambda: page.script(INKS))
    assert not any(abs(red - 194) < 3 for red in page.script(INKS))
    Select(page.one("#colour")).select_by_index(1)
    page.until(lambda: any(abs(red - 194) < 3 for red in page.script(INKS)))
    concept = archive.counted()[0]
    page.until(lambda: page.text("#map-legend").startswith(f"{concept.images} with {concept.name}"))

    points, target = archive.map_points(), 5
    canvas = page.one("#map")
    width, height = canvas.size["width"], canvas.size["height"]
    x, y = (points.x[target] * (width - 26) / 2, -points.y[target] * (height - 26) / 2)
    # On a wheel turned at a point, that point stays where it is.
    before = page.ids()
    page.script(TURN_WHEEL, x, y)
    ActionChains(page.driver).move_to_element_with_offset(canvas, x, y).click().perform()
    page.changed_from(before)
    assert page.text("#what") == points.ids[target]


def test_the_keyboard_is_enough(page: Page, archive: Archive) -> None:
    asked = archive.searcher.ids[20]
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
