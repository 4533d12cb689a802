from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("selenium", reason="needs selenium, which drives the browser")
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from tests.service.browser.visitor import BROWSER, DRIVER, FLAGS, Page
from tests.service.conftest import Profiled

EXPECTED = ("status of 422", "status of 401", "getImageData")
"""In the console: refusals that tests ask for, and a remark on how the tests look at the canvas."""


@pytest.fixture(scope="session")
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
    yield from visited(driver, address)


@pytest.fixture
def profiles(driver: webdriver.Chrome, profiled: Profiled) -> Iterator[Page]:
    yield from visited(driver, profiled.address)


def visited(driver: webdriver.Chrome, address: str) -> Iterator[Page]:
    """The page of a service, without a complaint in the browser's console afterwards."""
    driver.get_log("browser")
    page = Page(driver, address)
    page.open()
    yield page
    # Blocked by the policy, an error of a script, a file that is not there: the console would say so.
    complaints = [
        one["message"] for one in driver.get_log("browser") if one["level"] in ("SEVERE", "WARNING")
    ]
    assert [one for one in complaints if not any(said in one for said in EXPECTED)] == []
