"""A picture of a page of the site as a browser shows it: ``python -m bench.site.screenshot results/figures/site.png``.

Needs Chromium with its driver, and selenium, which is among the packages of development.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

from bench.errors import BenchError
from bench.site import build

COLOURS = 128  # of the file


@contextmanager
def browser(width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Any]:
    """A headless Chromium that reaches no network.

    Raises:
        BenchError: there is none, or no driver of it, or no selenium.
    """
    program, driver = which("chromium") or which("chromium-browser"), which("chromedriver")
    if program is None or driver is None:
        raise BenchError(
            "no browser",
            expected="chromium and chromedriver",
            got="neither" if program is driver else "one of them",
            hint="apt install chromium chromium-driver",
        )
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError as error:
        raise BenchError("no selenium", expected="the extra 'dev'", got=str(error), hint="pip install selenium") from error
    options = webdriver.ChromeOptions()
    options.binary_location = program
    off = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--disable-background-networking",
    )
    for argument in (*off, "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={width},{height}", "--force-prefers-reduced-motion"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    try:
        started.set_page_load_timeout(60)
        media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        started.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        started.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        )
        yield started
    finally:
        started.quit()


def opened(driver: Any, page: Path) -> None:
    """Opens a page and waits until its scripts have run."""
    from selenium.webdriver.support.ui import WebDriverWait

    place, _, anchor = str(page).partition("#")
    driver.get("about:blank")
    driver.get(Path(place).resolve().as_uri() + (f"#{anchor}" if anchor else ""))
    WebDriverWait(driver, 60).until(lambda it: it.execute_script("return document.documentElement.dataset.ready") == "yes")


def taken(driver: Any) -> bytes:
    """What the window shows, as a small PNG."""
    from PIL import Image

    with Image.open(io.BytesIO(driver.get_screenshot_as_png()), formats=["PNG"]) as shot:
        image = shot.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def main() -> int:
    """Builds a site in a temporary folder, unless one is named, and writes the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--site", type=Path, default=None, help="a site that is built already")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--page", default="index.html")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--dark", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = asked.site or build(asked.results, Path(folder) / "site").folder
        with browser(asked.width, asked.height, asked.dark) as driver:
            opened(driver, site / asked.page)
            driver.implicitly_wait(1)
            driver.execute_async_script("const done = arguments[0]; setTimeout(done, 700)")
            asked.picture.write_bytes(taken(driver))
            for entry in driver.get_log("browser"):
                print(entry["level"], entry["message"], file=sys.stderr)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(str(error))
