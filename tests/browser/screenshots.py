"""``python -m tests.browser.screenshots``: the README's pictures of the page, taken with the built-in model.

Every tab in light and dark on a desktop, and the studio on a phone, after an example was made with a fixed seed and
compared with itself less a part of the method each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from demo.page import build_ui, launch_options
from mmdiff_core.pipeline import Personalizer
from tests.browser.page import PHONE, compare
from tests.helpers.paths import ROOT

OUT = ROOT / "assets" / "readme"
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PATIENCE = 300_000  # milliseconds
# As if somebody had been here before and chosen a seed: the guide stays away and the picture is always the same.
REMEMBERED = """
localStorage.setItem("mmdiff-studio-guided", "yes");
localStorage.setItem("mmdiff-studio", JSON.stringify({{ model: "toybox", seed: {seed}, fresh: false }}));
"""


def main(arguments: list[str] | None = None) -> None:
    """Serve the page and walk through it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--example", type=int, default=0, help="which one of the page's examples, from 0")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    with tempfile.TemporaryDirectory() as folder:
        _walk(args, Path(folder) / "votes.sqlite3")


def _walk(args: argparse.Namespace, votes: Path) -> None:
    served = build_ui(Personalizer.from_assets(), votes=votes)
    _, url, _ = served.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options(served))
    try:
        with sync_playwright() as driver:
            path = os.environ.get("CHROMIUM") or shutil.which("chromium")
            browser = driver.chromium.launch(executable_path=path, args=["--disable-dev-shm-usage"])
            for theme in ("light", "dark"):
                _tabs(_made(browser, url, theme, DESKTOP, args), theme, args.out)
            _shoot(_made(browser, url, "light", PHONE, args), args.out / "phone.png")
            browser.close()
    finally:
        served.close(verbose=False)


def _made(browser: Browser, url: str, theme: str, device: dict[str, object], args: argparse.Namespace) -> Page:
    """A page of its own session on which the example was made."""
    context = browser.new_context(**({"device_scale_factor": 1} | device), locale="en")
    context.add_init_script(REMEMBERED.format(seed=args.seed))
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page.goto(f"{url}?__theme={theme}")
    page.locator(".example").nth(args.example).click()
    expect(page.locator("#chips .word[data-slot]").first).to_be_visible()
    page.locator("#generate").click()
    expect(page.locator("#result .button-row")).to_be_visible()
    expect(page.locator("#generate")).to_be_visible()
    return page


def _tabs(page: Page, theme: str, out: Path) -> None:
    for tab in page.get_by_role("tab").all():
        tab.click()
        if page.locator("#compare-run").is_visible():
            compare(page)
        page.wait_for_timeout(1000)  # for images and for what is drawn once it is in sight
        end = "" if theme == "light" else f"-{theme}"
        _shoot(page, out / f"{tab.inner_text().strip().lower()}{end}.png")


def _shoot(page: Page, file: Path) -> None:
    page.locator("#reach").evaluate("node => (node.style.position = 'static')")  # else it hangs in the middle
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=file, full_page=True)
    sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
