"""Report pages in Chromium, opened from a file without any network, and their controls."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.ui import WebDriverWait

from geodetect.reporting.html.template import embed_json

PATIENCE_S = 60  # a busy machine is no failure
DASH = "\N{EN DASH}"  # stands on the page where there is no value


@contextmanager
def start_browser(width: int) -> Iterator[Any]:
    """Start Chromium with a window of a width in CSS pixels; below 500 it is a phone."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs Chromium and its driver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    arguments = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    arguments += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={width},900"]
    for argument in arguments + (["--no-sandbox"] if os.geteuid() == 0 else []):
        options.add_argument(argument)
    if width < 500:
        phone = {"deviceMetrics": {"width": width, "height": 844, "pixelRatio": 2}}
        options.add_experimental_option("mobileEmulation", phone)
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    chrome.set_page_load_timeout(PATIENCE_S)
    chrome.set_script_timeout(PATIENCE_S)
    yield chrome
    chrome.quit()


@dataclass
class Report:
    """A page in a browser, and its controls."""

    chrome: Any

    def find(self, selector: str) -> Any:
        return self.chrome.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.chrome.find_elements("css selector", selector)]

    def wait(self, condition: Callable[[], Any]) -> None:
        WebDriverWait(self.chrome, PATIENCE_S).until(lambda _: condition())

    def run(self, script: str, *arguments: Any) -> Any:
        return self.chrome.execute_script(script, *arguments)

    def click(self, selector: str) -> None:
        element = self.find(selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def press(self, key: str) -> None:
        """Press a key, with the focus where it is."""
        ActionChains(self.chrome).send_keys(key).perform()

    @property
    def shown(self) -> int:
        """Number of visible predictions, as the headline states it."""
        return int(self.find("#headline").text.split()[0].replace(",", ""))

    @property
    def view(self) -> list[float]:
        return [float(part) for part in self.find("#map-canvas").get_attribute("data-view").split()]

    def settle(self) -> None:
        """Wait until all changes are drawn: the next two frames."""
        next_frame = "const done = arguments[0]; requestAnimationFrame(() => setTimeout(done, 50))"
        self.chrome.execute_async_script(next_frame)

    def canvas_offset(self, x: float, y: float) -> tuple[int, int]:
        """Position of a pixel of the raster on the canvas, from its centre."""
        cx, cy, zoom = self.view
        return round((x - cx) * zoom), round((y - cy) * zoom)

    def click_map(self, x: float, y: float) -> None:
        canvas = self.find("#map-canvas")
        self.run("arguments[0].scrollIntoView({block: 'center'})", canvas)
        self.settle()
        ActionChains(self.chrome).move_to_element_with_offset(
            canvas, *self.canvas_offset(x, y)
        ).click().perform()

    def attributes(self) -> dict[str, str]:
        rows = self.chrome.find_elements("css selector", "#attributes tr")
        cells = [row.find_elements("css selector", "th, td") for row in rows]
        return {name.text: value.text for name, value in cells}

    def screenshot(self, selector: str) -> Any:
        """Screenshot of an element, ``uint8[H, W, 3]``."""
        element = self.find(selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        png = element.screenshot_as_png
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def messages(self) -> list[Any]:
        return self.chrome.get_log("browser")

    def requested_urls(self) -> list[str]:
        """URLs that were requested since the last call."""
        events = [
            json.loads(entry["message"])["message"] for entry in self.chrome.get_log("performance")
        ]
        requests = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in requests]


def open_report(browser: Any, page: Path, link: str = "") -> Report:
    """Open a page; ``link`` is the part of its address from ``#`` on."""
    browser.get("about:blank")  # another link to the same page would not load it
    browser.get_log("browser")
    browser.get(page.as_uri() + link)
    report = Report(browser)
    report.wait(lambda: report.find("#map-canvas").get_attribute("data-view"))
    report.settle()
    return report


def change_payload(page: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write a copy of a page whose data for the script are changed in place."""
    html = page.read_text(encoding="utf-8")
    (data,) = re.finditer('(?<=<script type="application/json" id="data">)[^<]*', html)
    payload = json.loads(data[0])
    change(payload)
    target.write_text(
        html[: data.start()] + embed_json(payload) + html[data.end() :], encoding="utf-8"
    )
    return target


def count_pixels(image: Any, colour: tuple[int, int, int], *, tolerance: int = 14) -> int:
    """Number of pixels of about this colour."""
    return int((np.abs(image.astype(int) - colour).max(axis=2) <= tolerance).sum())
