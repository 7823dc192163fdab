"""The mailed report in a real browser: from the disk, by mouse and by keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from demo.web.i18n import report_texts
from mmdiff_core import record_attention
from mmdiff_core.inspection.html_report import html_report
from mmdiff_core.inspection.token_maps import TokenMaps
from tests.helpers import tiny


@pytest.fixture(scope="module")
def made() -> tuple[Image.Image, TokenMaps]:
    pipe = tiny.stable_diffusion()
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1"
    with record_attention(pipe, concepts=("dog",), self_attention=(layer, 1)) as maps:
        image = pipe("a cat on the beach", num_inference_steps=3, width=64, height=48).images[0]
    return image, maps[0]


@pytest.fixture
def report(made: tuple[Image.Image, TokenMaps], tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(html_report(*made), encoding="utf-8")
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
    expect(picture).to_have_attribute("aria-label", re.compile("^Attention to “cat”: share of the attention. "))
    drawn = picture.evaluate("canvas => canvas.toDataURL()")

    cat.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="on", exact=True)).to_have_attribute("aria-pressed", "true")
    assert picture.evaluate("canvas => canvas.toDataURL()") != drawn

    step = page.get_by_label("Step")
    expect(step).to_have_attribute("aria-valuetext", "mean of all")
    expect(page.locator("#bars")).to_have_text(
        re.compile(r"^Bars: the mean share that “on” gets at each step, up to [0-9.]+%$")
    )
    step.focus()
    page.keyboard.press("ArrowLeft")
    expect(step).to_have_attribute("aria-valuetext", "3 of 3")
    page.get_by_label("Scale").select_option("z")
    page.get_by_label("Layers").select_option(index=2)
    expect(page.locator("#high")).to_contain_text("+")
    picture.hover()
    expect(page.locator("#reading")).to_contain_text("on here: ")
    expect(page.locator("#shown")).to_have_text("Attention to “on”: standard deviations from its mean")

    picture.click()
    expect(page.locator("button[aria-pressed=true]")).to_have_count(0)
    expect(picture).to_have_attribute("aria-label", re.compile("^Where the point at 50%, 50% looks"))
    expect(page.locator("#shown")).to_contain_text("(step 2, mid_block")
    expect(page.locator("#high")).to_contain_text("%")
    expect(page.locator("#reading")).to_have_text("Point at the image, or touch it, to read a value.")
    assert page.locator("#of-word").evaluate("group => group.inert")  # scale, steps and bars are not the point's
    page.keyboard.press("ArrowRight")
    expect(picture).to_have_attribute("aria-label", re.compile("^Where the point at 5[1-9]%, 50% looks"))
    page.keyboard.press("Escape")
    expect(picture).to_have_attribute("aria-label", re.compile("^Attention to “on”"))
    assert not page.locator("#of-word").evaluate("group => group.inert")
    assert errors == []
    page.close()


def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, report: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(report.as_uri())
    expect(page.locator("#looks")).not_to_be_empty()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


@pytest.mark.parametrize(
    ("locale", "says", "value"),
    [
        ("de", "Aufmerksamkeit für „cat“: Anteil an der Aufmerksamkeit", r"^[0-9]+,[0-9]{2}\s% oder mehr$"),
        ("es", "Atención a «cat»: parte de la atención", r"^[0-9]+,[0-9]{2}\s% o más$"),
        ("zh", "对“cat”的关注：注意力占比", r"^[0-9]+\.[0-9]{2}%或更多$"),
    ],
)
def test_it_speaks_the_language_of_the_page_that_made_it(
    browser: Browser, made: tuple[Image.Image, TokenMaps], tmp_path: Path, locale: str, says: str, value: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text(html_report(*made, texts=report_texts(locale)), encoding="utf-8")
    page = browser.new_page(locale="en")
    page.goto(path.as_uri())
    page.get_by_role("button", name="cat").click()
    expect(page.locator("#shown")).to_have_text(says)
    expect(page.locator("#high")).to_have_text(re.compile(value))
    page.get_by_role("img").click()
    assert page.locator("html").get_attribute("lang") == locale
    shown = page.locator("body").inner_text()
    page.close()
    for word in ("attention", "Scale", "Layers", "Step", "mean", "looks", "Click", "Point", "more"):
        assert not re.search(rf"\b{word}\b", shown), word
