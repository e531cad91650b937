"""The site in a headless Chromium, from disk: what a reader does there, and axe-core's opinion. Skipped where there is no browser."""

from __future__ import annotations

import time
from pathlib import Path
from shutil import which

import pytest

pytest.importorskip("selenium", reason="no selenium: pip install -e '.[dev]'")
axe = pytest.importorskip("axe_core_python", reason="no axe-core-python: pip install -e '.[dev]'")
if not (which("chromedriver") and (which("chromium") or which("chromium-browser"))):
    pytest.skip("no browser: apt install chromium chromium-driver", allow_module_level=True)

from bench.site.screenshot import browser, opened  # noqa: E402 - it imports selenium

AXE = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
PAGES = (
    "index.html", "lines.html", "grid-quick.html", "attack-haim_kkt.html", "cards.html", "compare.html", "gallery.html",
    "defences.html", "claims.html", "reading.html", "defence-none.html",
)  # fmt: skip
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def driver():
    with browser() as started:
        yield started


@pytest.fixture
def at(driver, site):
    """Opens a page; afterwards the console must have been silent."""

    def go(page: str):
        opened(driver, site / page)
        return driver

    driver.get_log("browser")
    yield go
    told = [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert not told


def shown(driver, column: int = 0) -> list[str]:
    """The first line of a column's cells."""
    script = "return [...document.querySelectorAll('#lines tbody tr')].map(row => row.cells[arguments[0]]?.innerText.split('\\n')[0] ?? '')"
    return driver.execute_script(script, column)


def choose(driver, name: str, value: str) -> None:
    driver.execute_script(
        "const e = document.querySelector(`form [name=${arguments[0]}]`); e.value = arguments[1];"
        "e.dispatchEvent(new Event('input', {bubbles: true})); e.dispatchEvent(new Event('change', {bubbles: true}))",
        name, value,
    )  # fmt: skip


def wait(driver, script: str) -> None:
    until = time.monotonic() + 60
    while not driver.execute_script(f"return Boolean({script})"):
        assert time.monotonic() < until, script
        time.sleep(0.1)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_with_a_silent_console_and_loads_nothing_from_elsewhere(page, at):
    driver = at(page)
    for k in range(8):  # what is drawn when it comes near
        driver.execute_script("scrollTo(0, arguments[0] * 1000)", k)
        time.sleep(0.05)
    names = driver.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert all(name.startswith(("file:", "data:", "blob:")) for name in names)


def test_sorting_changes_the_order(at):
    driver = at("lines.html")
    before = shown(driver, 2)
    head = driver.find_elements("css selector", "#lines thead th")[2]
    sorted_ = "document.querySelectorAll('#lines thead th')[2].getAttribute('aria-sort') === '{}'"
    head.click()
    wait(driver, sorted_.format("ascending"))
    low = shown(driver, 2)
    head.click()
    wait(driver, sorted_.format("descending"))
    high = shown(driver, 2)
    numbers = [float(text.split()[0].replace("−", "-")) for text in high if text[:1] in "+-−0"]
    assert low != before or high != before
    assert len(numbers) > 10
    assert numbers == sorted(numbers, reverse=True)


def test_keys_alone_sort(at):
    from selenium.webdriver.common.keys import Keys

    driver = at("lines.html")
    head = driver.find_element("css selector", "#lines thead th [role=button], #lines thead th[tabindex]")
    head.send_keys(Keys.ENTER)
    wait(driver, "[...document.querySelectorAll('#lines thead th')].some(one => one.getAttribute('aria-sort'))")


@pytest.mark.parametrize(("page", "name", "value"), [
    ("lines.html", "dataset", "photo_tiles"), ("lines.html", "role", "control"), ("lines.html", "access", "weights + public images"),
    ("index.html", "dataset", "lfw_faces"), ("lines.html", "network", "mlp 1000 gelu"), ("lines.html", "date", "2026-03-02"),
    ("lines.html", "track", "reconstruction"), ("lines.html", "verified", "no"), ("lines.html", "words", "regression"),
])  # fmt: skip
def test_filters_change_what_is_shown(page, name, value, at):
    driver = at(page)
    count = "document.querySelector('form output').textContent"
    driver.execute_script("document.querySelector('form.filters').reset()")
    wait(driver, f"/^(\\d+) of \\1 lines/.test({count})")
    total = int(driver.execute_script(f"return {count}").split()[2])
    if name == "network":
        value = driver.execute_script(
            "return [...document.querySelector('[name=network]').options].map(o => o.value).find(v => v.includes('gelu'))"
        )
    choose(driver, name, value)
    said = driver.execute_script(f"return {count}")
    left = int(said.split()[0])
    lines = driver.execute_script("return window.LINES ? LINES.rows.length : document.querySelectorAll('#lines tbody tr').length")
    if name == "track":  # all of these rows are of one
        assert left == total
    elif page == "lines.html":
        assert left < total == lines
    assert len(shown(driver)) == min(50, left) or left == 0


def test_a_card_opens_from_the_board(at):
    driver = at("index.html")
    link = next(one for one in driver.find_elements("css selector", "#lines a") if one.text == "haim_kkt")
    link.click()
    assert driver.find_element("css selector", "h1").text == "haim_kkt"
    tiles = driver.find_elements("css selector", ".t")
    assert len(tiles) == 3
    drawn = driver.execute_script(
        "const s = getComputedStyle(document.querySelector('.t')); return [s.backgroundImage, parseFloat(s.width)]"
    )
    assert "tiles/" in drawn[0]
    assert drawn[1] > 60


def test_two_attacks_are_compared_image_by_image(at):
    driver = at("compare.html#grid=activations&setting=0&a=haim_kkt&b=regression_kkt")
    wait(driver, "document.querySelector('#pairs svg')")
    verdict = driver.find_element("id", "verdict").text
    assert "haim_kkt" in verdict
    assert "regression_kkt" in verdict
    assert len(driver.find_elements("css selector", "#images tbody tr")) == 20
    assert driver.find_elements("css selector", "#images .t")
    choose(driver, "b", "mean_image (control)")
    assert "mean_image" in driver.find_element("id", "verdict").text
    choose(driver, "grid", "quick")
    assert "haim_kkt" in driver.find_element("id", "verdict").text
    assert "grid=quick" in driver.current_url


def test_plots_answer_to_the_mouse(at):
    from selenium.webdriver import ActionChains

    driver = at("grid-weight_decay.html")
    driver.execute_script("document.querySelector('.plot').scrollIntoView({block: 'center'})")
    wait(driver, "document.querySelector('.plot svg .mark-symbol path')")
    points = driver.find_elements("css selector", ".plot svg .mark-symbol.role-mark path")
    ActionChains(driver).move_to_element(points[-1]).perform()
    wait(driver, "document.querySelector('#tip') && !document.querySelector('#tip').hidden")
    assert "excess recall" in driver.find_element("id", "tip").text


def test_text_of_rows_runs_nowhere(at, site):
    from selenium.common.exceptions import NoAlertPresentException

    names = [path.name for path in site.glob("*.html") if "script" in path.name or "foul" in path.name]
    for page in [*names, "lines.html", "index.html", "compare.html"]:
        driver = at(page)
        with pytest.raises(NoAlertPresentException):
            driver.switch_to.alert  # noqa: B018 - asks for one
        assert not driver.find_elements("css selector", "img[onerror]")


@pytest.mark.parametrize("page", PAGES)
def test_on_a_phone_nothing_scrolls_sideways(page, site):
    with browser(390, 844) as driver:
        opened(driver, site / page)
        for k in range(6):
            driver.execute_script("scrollTo(0, arguments[0] * 900)", k)
            time.sleep(0.05)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_serious_fault(dark, site):
    with browser(dark=dark) as driver:
        for page in PAGES:
            opened(driver, site / page)
            driver.execute_script(AXE)
            script = "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(r => done(r.violations))"
            found = driver.execute_async_script(script)
            bad = [
                (one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"])
                for one in found
                if one["impact"] in ("serious", "critical")
            ]
            assert not bad, (page, bad)


def test_axe_would_find_one(site):
    with browser() as driver:
        opened(driver, site / "index.html")
        driver.execute_script("document.querySelector('#main').append(document.createElement('img'))")
        driver.execute_script(AXE)
        found = driver.execute_async_script("const done = arguments[0]; axe.run(document).then(r => done(r.violations))")
        assert "image-alt" in [one["id"] for one in found if one["impact"] == "critical"]


def test_without_scripts_the_tables_are_there(site):
    text = (site / "index.html").read_text("utf-8")
    assert "<noscript><img" in text
    assert "haim_kkt" in text
    assert (site / "figures" / "leaderboard.webp").is_file()
