"""Headless Chromium: opens pages as a user does, from file://, without a network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.needs import Need

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--proxy-server=127.0.0.1:9",
)  # fmt: skip
READY_S = 60


def need_browser(need: Need) -> None:
    need("chromium (Debian package chromium)", shutil.which("chromium"))
    need("chromedriver (Debian package chromium-driver)", shutil.which("chromedriver"))


@contextmanager
def browser() -> Iterator[Browser]:
    """One that runs; starting it takes seconds."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


class Browser:
    """What tests do with it.

    Attributes:
        driver: Selenium's.
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, width: int = 1280, height: int = 900) -> None:
        """Open a page of ours, and wait until it is ready."""
        self.size(width, height)
        self.media()
        self.driver.get_log("browser")
        self.driver.get(path.resolve().as_uri())
        self.wait("return document.documentElement.dataset.ready === 'yes'")

    def size(self, width: int, height: int = 900) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def media(self, kind: str = "", **features: str) -> None:
        """Show the page as on paper (``print``), or with features such as ``scheme="dark"``."""
        listed = [{"name": f"prefers-color-{name}", "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": listed})

    def wait(self, condition: str) -> None:
        """Until a script's value is true."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, READY_S, 0.05).until(lambda driver: driver.execute_script(condition))

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def run_slowly(self, script: str) -> Any:
        """The value that a script gives by calling ``done(value)`` sometime."""
        self.driver.set_script_timeout(READY_S)
        return self.driver.execute_async_script(f"const done = arguments[arguments.length - 1]; {script}")

    def click(self, selector: str, x: int | None = None, y: int | None = None) -> None:
        """Click into an element, at a place from its upper left corner."""
        from selenium.webdriver.common.action_chains import ActionChains

        found = self.find(selector)
        if x is None or y is None:
            found.click()
            return
        self.run("scrollBy(0, arguments[0].getBoundingClientRect().top + arguments[1] - innerHeight / 2)", found, y)
        box = self.run("const r = arguments[0].getBoundingClientRect(); return [r.left, r.top]", found)
        pointer = ActionChains(self.driver, duration=0)
        pointer.w3c_actions.pointer_action.move_to_location(round(box[0] + x), round(box[1] + y))
        pointer.click().perform()

    def keys(self, *keys: str, held: str = "") -> None:
        """Type into what has the focus; ``held``: a key that is down meanwhile."""
        from selenium.webdriver.common.action_chains import ActionChains

        actions = ActionChains(self.driver)
        if held:
            actions.key_down(held)
        actions.send_keys(*keys)
        if held:
            actions.key_up(held)
        actions.perform()

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return str(self.find(selector).text)

    def complaints(self) -> list[str]:
        """What the browser has said about the page since it was opened."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]
