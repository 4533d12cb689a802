"""Take the pictures of the similarity page that the README shows, over the demo's collection.

    imageclef demo
    imageclef serve --config demo/imageclef.toml --concept-names demo/data/concept-names.csv
    python pipelines/page_pictures.py demo/data/test/b/V00028.JPEG

Needs chromium and chromedriver. Writes page-light.png and page-dark.png into docs/pictures.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
AT_REST = """return document.getElementById("answers").getAttribute("aria-busy") === "false"
    && document.querySelectorAll("#results [data-id]").length > 0"""


def main() -> None:
    """Search from an image: by day with the explanation, by night with the map."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--address", default="http://127.0.0.1:8000")
    asked = parser.parse_args()
    options = Options()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,1040"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))

    def rest() -> None:
        WebDriverWait(driver, 30, poll_frequency=0.5).until(lambda _: driver.execute_script(AT_REST))

    driver.get(asked.address)
    rest()
    driver.find_element(By.ID, "file").send_keys(str(asked.image.resolve()))
    WebDriverWait(driver, 30).until(lambda _: driver.find_element(By.ID, "why").is_displayed())
    driver.find_element(By.ID, "why").click()
    WebDriverWait(driver, 30).until(lambda _: driver.find_elements(By.CSS_SELECTOR, "#results .heat"))
    rest()
    time.sleep(1)  # pictures fade in
    driver.save_screenshot(str(PICTURES / "page-light.png"))
    driver.find_element(By.ID, "why").click()
    driver.find_element(By.ID, "theme").click()
    driver.find_element(By.ID, "map-toggle").click()
    WebDriverWait(driver, 30).until(lambda _: driver.find_element(By.ID, "map-legend").text)
    rest()
    time.sleep(1)
    driver.save_screenshot(str(PICTURES / "page-dark.png"))
    driver.quit()


if __name__ == "__main__":
    main()
