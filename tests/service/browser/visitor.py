"""A visitor: the page in a real browser, and what they do with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="needs selenium, which drives the browser")
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_a_browser = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs chromium and chromedriver (Debian: chromium, chromium-driver)"
)
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1400,1000"),
)


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
