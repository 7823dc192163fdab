"""A real browser, where the machine has one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.chromium import find_chromium
from tests.helpers.stand_in import StandIn, served

BROKEN_OFF = ("AbortError: signal is aborted", "Connection errored out.")  # as Gradio says it
KEPT = "local_storage,cookies"  # by a browser, of a visit

try:
    from playwright import sync_api as playwright
except ImportError:
    collect_ignore_glob = ["test_*.py"]

    def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line("tests/browser was skipped: playwright is not installed: pip install playwright")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: drives a real browser; leave out with -m 'not browser'")
    config.addinivalue_line("markers", "smoke: a browser test of the plain run; all others are slow")


@pytest.hookimpl(tryfirst=True)  # the slow ones are left out by tests/conftest.py
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)
            if not item.get_closest_marker("smoke"):
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")  # as long as playwright runs, no other test of the process can start an event loop
def browser() -> Iterator[playwright.Browser]:
    path = find_chromium()
    if path is None:
        pytest.skip("no browser: install Debian's chromium-headless-shell, or name one in the variable CHROMIUM")
    with playwright.sync_playwright() as driver:
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        chromium = driver.chromium.launch(executable_path=path, args=["--disable-dev-shm-usage", *camera])
        yield chromium
        chromium.close()


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "blob.png"
    Image.new("RGB", (64, 48), "orange").save(path)
    return str(path)


@pytest.fixture(scope="module")
def model() -> StandIn:
    return StandIn()


@pytest.fixture(scope="module")
def url(model: StandIn) -> Iterator[str]:
    with served(model) as url:
        yield url


@pytest.fixture(scope="module")
def profiles(browser: playwright.Browser) -> dict[str, list[playwright.BrowserContext]]:
    """What a browser knows beyond a page, by what the pages asked for; it has read the page's scripts before."""
    return defaultdict(list)


@pytest.fixture
def open_page(
    browser: playwright.Browser, profiles: dict[str, list[playwright.BrowserContext]], url: str
) -> Iterator[Callable[..., playwright.Page]]:
    """Opens pages of their own session; every one must stay on this machine and without errors."""
    profiles_used: list[playwright.BrowserContext] = []
    complaints: list[str] = []
    left: list[bool] = []  # whether a test went from a page to the next, or loaded it anew

    def open_one(theme: str = "light", guided: bool = False, at: str = url, **options: object) -> playwright.Page:
        """``guided``: as on a first visit; ``at``: another page than the module's."""
        known = profiles[str((guided, sorted(options.items())))]
        profile = next((one for one in known if one not in profiles_used), None)  # two pages of a test are two people's
        if profile is None:
            profile = _new_profile(browser, guided, options)
            known.append(profile)
        profiles_used.append(profile)
        page = profile.new_page()
        profile.new_cdp_session(page).send(
            "Storage.clearDataForOrigin", {"origin": at.rstrip("/"), "storageTypes": KEPT}
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.on(
            "request",
            lambda sent: None if sent.url.startswith((at, "data:", "blob:")) else complaints.append(sent.url),
        )
        page.goto(f"{at}?__theme={theme}")
        page.locator("#generate").wait_for()
        page.locator(".loading").wait_for(state="detached")  # Gradio's, until all of the page has come
        page.locator("#left[inert]").wait_for(state="detached")  # ours, until the draft or a link is in the fields
        page.on("framenavigated", lambda _: left.append(True))
        return page

    yield open_one
    # Before the closing, which may break off a request that is under way, as going to another page does.
    heard = [text for text in complaints if not (left and text.strip().startswith(BROKEN_OFF))]
    for profile in profiles_used:
        profile.clear_permissions()
        for page in profile.pages:
            page.close()
    assert heard == []


def _new_profile(browser: playwright.Browser, guided: bool, options: Mapping[str, object]) -> playwright.BrowserContext:
    # Nothing moves for its own sake: drawing that is a tenth of what a test costs.
    usual = {"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"}
    profile = browser.new_context(**(usual | options))
    profile.set_default_timeout(60_000)
    if not guided:
        profile.add_init_script("localStorage.setItem('mmdiff-studio-guided', 'yes')")
    return profile
