"""``python -m tests.browser.screenshots``: pictures of the page, taken with the built-in model.

By default those of the README: every tab in light and dark on a desktop, and the studio on a phone, after an example
was made and compared with itself less a part of the method each. ``--all`` takes every tab at three widths in both
themes, the page before the first click, with an error, with everything open, after a vote, and opened by a link, to be
looked at.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from demo.page import build_ui, launch_options
from mmdiff_core.pipeline import Personalizer
from tests.browser.page import DESK, LAPTOP, PHONE, compare, fill_example, generate, open_settings
from tests.helpers.chromium import find_chromium
from tests.helpers.paths import ROOT

OUT = ROOT / "assets" / "readme"
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
DEVICES: Mapping[str, dict[str, object]] = {"1440": DESK, "1024": LAPTOP, "390": PHONE}
THEMES = ("light", "dark")
PATIENCE = 300_000  # milliseconds
# As if somebody had been here before: the guide stays away.
REMEMBERED = 'localStorage.setItem("mmdiff-studio-guided", "yes");'


def main(arguments: list[str] | None = None) -> None:
    """Serve the page and walk through it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--example", type=int, default=0, help="which one of the page's examples, from 0")
    parser.add_argument("--all", action="store_true", help="every tab and state, at three widths, in both themes")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    with tempfile.TemporaryDirectory() as folder:
        _serve(args, Path(folder) / "votes.sqlite3")


def _serve(args: argparse.Namespace, votes: Path) -> None:
    served = build_ui(Personalizer.from_assets(), votes=votes)
    _, url, _ = served.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options(served))
    expect.set_options(timeout=PATIENCE)
    try:
        with sync_playwright() as driver:
            path = find_chromium()
            browser = driver.chromium.launch(executable_path=path, args=["--disable-dev-shm-usage"])
            (_take_all if args.all else _take_those_of_the_readme)(browser, url, args)
            browser.close()
    finally:
        served.close(verbose=False)


def _take_those_of_the_readme(browser: Browser, url: str, args: argparse.Namespace) -> None:
    for theme in THEMES:
        _tabs(
            _made(_opened(browser, url, theme, DESKTOP), args.example),
            "" if theme == "light" else f"-{theme}",
            args.out,
        )
    _shoot(_made(_opened(browser, url, "light", PHONE), args.example), args.out / "phone.png")


def _take_all(browser: Browser, url: str, args: argparse.Namespace) -> None:
    for width, device in DEVICES.items():
        for theme in THEMES:
            end = f"-{width}-{theme}"
            page = _opened(browser, url, theme, device)
            _shoot(page, args.out / f"start{end}.png")
            page.locator("#generate").click()
            expect(page.locator("#field-errors .first-error")).to_be_visible()
            _shoot(page, args.out / f"error{end}.png")
            _tabs(_made(page, args.example), end, args.out)
            _told(page, args.out / f"told{end}.png")
            page.get_by_role("tab").first.click()
            page.locator("#result .start-from").click()
            expect(page.locator("#photos-start img")).to_be_visible()
            open_settings(page)
            _shoot(page, args.out / f"settings{end}.png")
            page.goto(f"{url}?__theme={theme}&prompt=a+cat+next+to+a+robot+on+the+beach&inspect=1&concepts=dog")
            expect(page.locator("#prompt-examples")).to_be_visible()
            generate(page)
            page.wait_for_timeout(1000)
            _shoot(page, args.out / f"inspect{end}.png")
            page.goto(f"{url}?__theme={theme}&prompt=a+cat+in+the+snow&subject=cat~1~&steps=999")
            expect(page.locator(".link-note")).to_be_visible()
            _shoot(page, args.out / f"link{end}.png")
            page.context.close()


def _opened(browser: Browser, url: str, theme: str, device: dict[str, object]) -> Page:
    """A page of its own session, come to rest."""
    context = browser.new_context(**({"device_scale_factor": 1} | device), locale="en")
    context.add_init_script(REMEMBERED)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{url}?__theme={theme}")
    expect(page.locator("#generate")).to_be_visible()
    page.wait_for_timeout(1500)  # for images and for what is drawn once it is in sight
    return page


def _made(page: Page, example: int) -> Page:
    """The page on which an example was made."""
    fill_example(page, example)
    generate(page)
    return page


def _tabs(page: Page, end: str, out: Path) -> None:
    for tab in page.get_by_role("tab").all():
        if tab.inner_text().strip() not in ("Studio", "Compare", "Vote", "About"):
            continue  # the tabs of known words
        tab.click()
        if page.locator("#compare-run").is_visible():
            compare(page)
        page.wait_for_timeout(1000)
        _shoot(page, out / f"{tab.inner_text().strip().lower()}{end}.png")


def _told(page: Page, file: Path) -> None:
    """A vote, after which the page tells which picture was which."""
    page.get_by_role("tab", name="Vote").click()
    page.locator("#ballot .segments label").first.click()
    page.locator("#ballot .vote-save").click()
    page.locator("#ballot .reveal summary").click()
    _shoot(page, file)


def _shoot(page: Page, file: Path) -> None:
    page.locator("#reach").evaluate("node => (node.style.position = 'static')")  # else it hangs in the middle
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=file, full_page=True)
    sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
