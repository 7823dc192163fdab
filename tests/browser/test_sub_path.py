"""The page below a path of another server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import playwright.sync_api as playwright
import pytest
from PIL import Image
from playwright.sync_api import expect

from demo.page import build_ui
from tests.browser.page import Open, generate
from tests.helpers.reverse_proxy import proxied
from tests.helpers.stand_in import StandIn, served_page

PREFIX = "/studio"
WAYS: dict[str, dict[str, Any]] = {
    "the prefix is left on": {"root_path": PREFIX, "takes_off": False},
    "the prefix is taken off, and the server is told": {"root_path": PREFIX, "takes_off": True},
    "the prefix is taken off, and the proxy tells": {"takes_off": True, "headers": {"X-Forwarded-Prefix": PREFIX}},
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _served(stack: ExitStack, root_path: str = "", **way: Any) -> str:
    url = stack.enter_context(served_page(build_ui(StandIn()), root_path=root_path))  # type: ignore[arg-type]
    return stack.enter_context(proxied(url, PREFIX, **way))


@pytest.mark.parametrize("way", WAYS)
def test_photos_come_and_pictures_go(way: str, stack: ExitStack, open_page: Open, tmp_path: Path) -> None:
    """A photo of 7 MB, which is more than any other request may have."""
    noise = np.random.default_rng(0).integers(0, 255, (1500, 1600, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    page = open_page(at=_served(stack, **WAYS[way]))
    page.locator("#photos-1 input[type=file]").first.set_input_files(tmp_path / "large.png")
    expect(page.locator("#seen-1 button img")).to_have_count(1)
    page.locator("#name-1 :is(input, textarea)").fill("cat")
    page.locator("#prompt textarea").fill("a cat")
    generate(page)
    for image in page.locator("#photos-1 .grid-container img, #result img").all():
        assert image.evaluate("image => !image.src || image.complete && image.naturalWidth > 0")
    href = page.locator("#result .save").get_attribute("href") or ""
    assert PREFIX in href or not href.startswith(("http", "/"))


def test_a_server_that_does_not_know_its_place_says_what_to_set(browser: playwright.Browser, stack: ExitStack) -> None:
    page = browser.new_page()
    page.goto(_served(stack, takes_off=True))
    expect(page.locator("#sub-path")).to_contain_text("GRADIO_ROOT_PATH=/studio")
    expect(page.locator("#sub-path")).to_contain_text("X-Forwarded-Prefix: /studio")
    page.close()
