"""The page in a real browser, headless: what a visitor does with the mouse."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("selenium", reason="needs selenium, which drives the browser")
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.ui import Select

from imageclef.retrieval.filters import Filters
from imageclef.retrieval.similar import Query
from imageclef.service.served.archive import Archive
from tests.service.browser.visitor import Page, needs_a_browser
from tests.service.conftest import Walked

pytestmark = needs_a_browser

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


PIXEL = """
const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
canvas.width = 512;
pen.drawImage(document.getElementById("preview"), 0, 0);
return pen.getImageData(256, 10, 1, 1).data[0];
"""


def test_an_upload_is_answered_with_its_neighbours_and_concepts(
    page: Page, walked: Walked, archive: Archive
) -> None:
    query = walked.queries[0]
    found = page.upload(query)
    expected = archive.search.search(Query([archive.encoder.encode(query)], k=24))
    assert found == [one.name for one in expected.hits]
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
    has = {archive.index.names[row] for row in archive.search.concepts.having(concept)}

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
    concept = next(iter(archive.search.concepts.rows_of))
    asked = archive.index.names[9]
    page.open(f"?id={asked}&without={concept}")
    page.until(lambda: page.text("#what") == asked)
    expected = archive.search.search(Query(names=[asked], k=24, filters=Filters(without=(concept,))))
    page.until(lambda: page.ids() == [one.name for one in expected.hits])


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


def broken(page: Page) -> list[str]:
    """Images that are seen and have nothing to show."""
    code = """return [...document.images].filter((one) => one.offsetParent && one.complete
        && one.getAttribute("src") && !one.naturalWidth).map((one) => one.src)"""
    found: list[str] = page.script(code)
    return found


@pytest.mark.parametrize("name", ["deep.tiff", "deep.png", "IM1", "a jpeg.jpg"])
def test_what_the_browser_cannot_draw_is_drawn_by_the_service(page: Page, tmp_path: Path, name: str) -> None:
    path, ramp = tmp_path / name, np.tile(np.arange(0, 4000, 4, dtype=np.uint16), (500, 1))
    if name == "IM1":
        pytest.importorskip("pydicom", reason="needs the extra [dicom]")
        from tests.images.dicom.made_up import write

        write(path, ramp)
    else:
        # The last one says that it is a JPEG and is not.
        Image.fromarray(ramp).save(path, "PNG" if name.endswith("png") else "TIFF")
    page.upload(path)
    page.until(lambda: page.one("#preview").is_displayed())
    assert page.until(lambda: page.script('return document.getElementById("preview").naturalWidth')) == 512
    middle = page.script(PIXEL)
    assert 100 < middle < 160, "the whole range of grey is seen"
    assert broken(page) == []


@pytest.mark.parametrize("name", ["scan.png", "scan.jpg", "scan.dcm", "empty.jpg"])
def test_a_bad_upload_is_one_sentence_and_no_broken_image(page: Page, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("" if name.startswith("empty") else "I am no picture")
    page.one("#file").send_keys(str(path))
    page.until(lambda: page.one("#message").is_displayed())
    said = page.text("#message")
    assert said.count(".") == 1
    assert said[0].isupper()
    assert not page.one("#preview-frame").is_displayed()
    assert broken(page) == []


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
