"""The mailed report in a real browser: from the disk, by mouse and by keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from mmdiff_core import record_attention
from mmdiff_core.inspection.html_report import html_report
from tests.helpers import tiny


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pipe = tiny.stable_diffusion()
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1"
    with record_attention(pipe, concepts=("dog",), self_attention=(layer, 1)) as maps:
        image = pipe("a cat on the beach", num_inference_steps=3, width=64, height=48).images[0]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html_report(image, maps[0]), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_steps_and_layers_change_what_is_shown(browser: Browser, report: Path, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(report.as_uri())
    cat = page.get_by_role("button", name="cat")
    picture = page.get_by_role("img")
    expect(page.locator("button[aria-pressed=true]")).to_have_count(1)
    cat.click()
    expect(cat).to_have_attribute("aria-pressed", "true")
    expect(picture).to_have_attribute("aria-label", re.compile("map of cat"))
    drawn = picture.evaluate("canvas => canvas.toDataURL()")

    cat.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="on", exact=True)).to_have_attribute("aria-pressed", "true")
    assert picture.evaluate("canvas => canvas.toDataURL()") != drawn

    step = page.get_by_label("Step")
    expect(step).to_have_attribute("aria-valuetext", "mean of all")
    step.focus()
    page.keyboard.press("ArrowLeft")
    expect(step).to_have_attribute("aria-valuetext", "3 of 3")
    page.get_by_label("Scale").select_option("z")
    page.get_by_label("Layers").select_option(index=2)
    expect(page.locator("#high")).to_contain_text("+")
    picture.hover()
    expect(page.locator("#reading")).to_contain_text("on here: ")

    picture.click()
    expect(page.locator("button[aria-pressed=true]")).to_have_count(0)
    expect(picture).to_have_attribute("aria-label", re.compile("where the point at 50%, 50% looks"))
    page.keyboard.press("ArrowRight")
    expect(picture).to_have_attribute("aria-label", re.compile("where the point at 5[1-9]%, 50% looks"))
    page.keyboard.press("Escape")
    expect(picture).to_have_attribute("aria-label", re.compile("map of on"))
    assert errors == []
    page.close()


def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, report: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(report.as_uri())
    expect(page.locator("#looks")).not_to_be_empty()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()
