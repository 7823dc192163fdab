"""A prompt alone in a real browser: from the switch to the maps of its words. The model is tiny but real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from demo.inspect.inspect_panel import WIDE_WORLD_PROMPTS
from demo.server.limits import local_limits
from demo.server.service import Service
from tests.browser.page import PHONE, Open, generate, overlay, set_range
from tests.browser.test_axe import violations
from tests.helpers import tiny
from tests.helpers.stand_in import served


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = tiny.personalizer("sd", tmp_path_factory.mktemp("sd"), with_adapter=False)
    with served(Service(model, local_limits())) as url:
        yield url


def _choose_prompt_alone(page: Page) -> None:
    page.locator("#mode label").nth(1).click()
    expect(page.locator("#prompt-examples")).to_be_visible()
    expect(page.locator(".cards")).to_be_hidden()


@pytest.mark.parametrize(("theme", "options"), [("light", {}), ("dark", PHONE)], ids=["desk", "phone"])
def test_a_prompt_alone_shows_every_word(open_page: Open, theme: str, options: dict[str, object]) -> None:
    page = open_page(theme, **options)
    _choose_prompt_alone(page)
    page.locator("#generate").click()
    expect(page.locator("#field-errors .first-error")).to_contain_text("describe the picture, or choose")
    page.locator("#prompt textarea").fill("a cat, on sand")
    page.locator("#concepts input, #concepts textarea").fill("dog")
    generate(page)
    tiles = page.locator("#result .tile")
    assert tiles.locator("span").all_inner_texts() == [
        *("a", "cat", ",", "on", "sand", "s", "and", "Start", "End", "Padding", "All but words", "dog")
    ]
    expect(tiles.nth(1)).to_have_attribute("aria-pressed", "true")
    seen = {overlay(page)}
    for act in (
        lambda: tiles.nth(4).click(),
        lambda: page.keyboard.press("ArrowRight"),
        lambda: page.locator("#result .scale-choice").select_option("contrast"),
        lambda: set_range(page, "#result .step", 1),
        lambda: page.locator("#result .sizes").select_option(index=2),
    ):
        act()
        seen.add(overlay(page))
    assert len(seen) == 6  # each changes the large map
    expect(tiles.nth(5)).to_be_focused()
    page.locator("#result .scale-choice").select_option("z")
    expect(page.locator("#result .scale-help")).to_contain_text("standard deviations")
    expect(page.locator("#result .scales")).to_contain_text("σ")
    assert violations(page) == []


def test_what_was_inspected_comes_back(open_page: Open) -> None:
    """After a reload the mode, the words and the maps are there; and photos have their own mode."""
    page = open_page()
    _choose_prompt_alone(page)
    page.locator("#prompt textarea").fill("a cat on sand")
    generate(page)
    page.reload()
    expect(page.locator("#result .tile").first).to_be_visible()
    expect(page.locator("#prompt-examples")).to_be_visible()
    expect(page.locator("#prompt textarea")).to_have_value("a cat on sand")
    page.locator("#mode label").first.click()
    expect(page.locator(".cards")).to_be_visible()
    page.locator("#result .use-settings").click()
    expect(page.locator(".cards")).to_be_hidden()


def test_an_example_makes_its_picture_and_a_report_of_it_opens_anywhere(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    _choose_prompt_alone(page)
    page.locator("#prompt-examples .prompt-example").nth(1).click()
    expect(page.locator("#result .button-row")).to_be_visible()
    expect(page.locator("#prompt textarea")).to_have_value(WIDE_WORLD_PROMPTS[1][0])
    expect(page.locator("#result .tile").last).to_contain_text(WIDE_WORLD_PROMPTS[1][1])
    page.locator("#result .more > summary").click()
    with page.expect_download() as saving:
        page.locator("#result .write[data-suffix=html]").click()
    file = tmp_path / "report.html"
    saving.value.save_as(file)
    assert WIDE_WORLD_PROMPTS[1][0] in file.read_text(encoding="utf-8")


def test_what_was_saved_comes_back_with_its_maps_and_further_words(open_page: Open, tmp_path: Path) -> None:
    """From the zip and from the picture alone; the report and the command are those of an inspected prompt."""
    page = open_page(locale="de", permissions=["clipboard-read", "clipboard-write"])
    _choose_prompt_alone(page)
    page.locator("#prompt textarea").fill("a cat on sand")
    page.locator("#concepts input, #concepts textarea").fill("dog")
    generate(page)
    menu = page.locator("#result .more > summary")
    for button, name in ((".pack", "all.zip"), (".save", "alone.png"), (".write[data-suffix=html]", "report.html")):
        menu.click()
        with page.expect_download() as saving:
            page.locator(f"#result {button}").click()
        saving.value.save_as(tmp_path / name)
    assert '<html lang="de">' in (tmp_path / "report.html").read_text(encoding="utf-8")
    menu.click()
    page.locator("#result .copy[data-copy=shell]").click()
    expect(page.locator("#result .copy-note")).not_to_be_empty()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith("python -m mmdiff_core attention ")
    assert "--concepts dog" in command
    tiles = page.locator("#result .tile").count()

    for name, steps in (("all.zip", page.locator("#result .step").get_attribute("max")), ("alone.png", "1")):
        later = open_page()
        with later.expect_file_chooser() as chooser:
            later.locator("#open-picture").click()
        chooser.value.set_files(tmp_path / name)
        expect(later.locator("#result .tile")).to_have_count(tiles)
        expect(later.locator("#result .tile").last).to_contain_text("dog")
        expect(later.locator("#result .step")).to_have_attribute("max", str(steps))
        assert overlay(later) > 0
        expect(later.locator("#concepts input, #concepts textarea")).to_have_value("dog")
        expect(later.locator("#prompt-examples")).to_be_visible()
