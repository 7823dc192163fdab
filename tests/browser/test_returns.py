"""Pages that are opened again, by a person or by Gradio after a lost connection: nothing of theirs is lost."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.page import (
    PHONE,
    Open,
    choose_grid,
    fill_example,
    generate,
    open_settings,
    open_tab,
    overlay,
    set_pictures,
)
from tests.helpers.cut_line import CutLine
from tests.helpers.stand_in import StandIn


def test_a_reload_keeps_the_pictures_their_maps_and_settings(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    generate(page)
    first = page.locator("#result .facts").text_content()
    page.locator("#prompt textarea").fill("a robot and a cat")
    expect(page.locator("#chips .word")).to_have_count(5)
    generate(page)
    page.reload()
    result = page.locator("#result")
    expect(result.locator(".thumb")).to_have_count(2)
    expect(result.locator(".sentence mark")).to_have_text(["robot", "cat"])
    assert overlay(page) > 0
    result.locator(".thumb").last.click()
    expect(result.locator(".facts")).to_have_text(first)
    expect(result.locator(".strip-cell")).to_have_count(6)  # its maps have come
    expect(result.locator(".advice-text")).to_contain_text("attention falls on another")
    result.locator(".use-settings").click()
    expect(page.locator("#prompt textarea")).to_have_value("a cat next to a robot on the beach")
    open_settings(page)
    expect(page.locator("#seed input")).to_have_value(first.split()[1])
    with page.expect_download():
        result.locator(".save").click()
    page.locator("#generate").click()  # and the session goes on
    expect(result.locator(".thumb")).to_have_count(3)
    expect(page.locator("#generate")).to_be_visible()


def test_a_later_visit_finds_the_pictures_and_a_second_tab_does_not(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    generate(page)
    seed = page.locator("#result .facts").text_content()
    profile, address = page.context, page.url
    page.close()
    later = profile.new_page()
    later.goto(address)
    expect(later.locator("#result .facts")).to_have_text(str(seed))
    second = profile.new_page()
    second.goto(address)
    expect(second.locator("#result .welcome-title")).to_be_visible()
    second.wait_for_timeout(1500)  # in which nothing must come
    expect(second.locator("#result .button-row")).to_be_hidden()


@pytest.fixture
def leaving(browser: Browser, url: str) -> Iterator[Page]:
    """A page that is reloaded in a run, at which Gradio writes its broken connection to the console."""
    profile = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce", locale="en")
    profile.set_default_timeout(60_000)
    profile.add_init_script("localStorage.setItem('mmdiff-studio-guided', 'yes')")
    page, thrown = profile.new_page(), []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.goto(url)
    yield page
    profile.close()
    assert [error for error in thrown if "abort" not in error.lower()] == []


def test_a_reload_in_a_run_sees_it_to_its_end(leaving: Page, model: StandIn) -> None:
    page = leaving
    fill_example(page)
    set_pictures(page, 2)
    started = len(model.log)
    with model.held(picture=2, step=3):
        page.locator("#generate").click()
        expect(page.locator("#result .step-line")).to_contain_text("Picture 2 of 2")
        page.reload()
        expect(page.locator("#result .step-line")).to_contain_text("Picture 2 of 2")
        expect(page.locator("#stop")).to_be_visible()
        expect(page.locator("#generate")).to_be_hidden()
    expect(page.locator("#generate")).to_be_visible()
    expect(page.locator("#result .thumb")).to_have_count(2)
    expect(page.locator("#result .progress")).to_be_hidden()
    assert [line.split()[0] for line in model.log[started:]] == ["start", "finished"]


def test_stop_works_after_a_reload(leaving: Page, model: StandIn) -> None:
    page = leaving
    fill_example(page)
    with model.held(picture=1, step=3):
        page.locator("#generate").click()
        expect(page.locator("#result .step-line")).to_contain_text("step 2 of 6")
        page.reload()
        expect(page.locator("#result .step-line")).to_contain_text("step 2 of 6")
        page.locator("#stop").click()
        expect(page.locator("#stop")).to_have_text("Stopping after this step …")
    expect(page.locator("#generate")).to_be_visible()
    expect(page.locator("#result .notice")).to_contain_text("Stopped at step 3 of 6")
    assert model.log[-1] == "cancelled"


def test_a_reload_in_a_comparison_sees_it_to_its_end(leaving: Page, model: StandIn) -> None:
    """And a later one has it still: each picture opens in the Studio."""
    page = leaving
    fill_example(page)
    open_tab(page, "Compare")
    choose_grid(page, "0.5 1", "1 2")
    started = len(model.log)
    with model.held(picture=1, step=3, seed=2):
        page.locator("#compare-run").click()
        expect(page.locator("#comparison-grid .cell:not([disabled])")).to_have_count(2)
        page.reload()
        expect(page.locator("#comparison-grid .step-line")).to_contain_text("Picture 3 of 4")
        expect(page.locator("#compare-stop")).to_be_visible()
    expect(page.locator("#compare-run")).to_be_visible()
    assert [entry.split()[0] for entry in model.log[started:]] == ["start", "finished"] * 4
    page.reload()
    expect(page.locator("#comparison-grid .cell:not([disabled])")).to_have_count(4)
    expect(page.locator("#comparison-grid .progress")).to_be_hidden()
    page.locator("#comparison-grid .look-into").last.click()
    expect(page.locator("#result .facts")).to_contain_text("Seed 2")
    page.reload()
    expect(page.get_by_role("tab", name="Studio")).to_have_attribute("aria-selected", "true")


def test_a_comparison_is_found_from_the_studio_and_on_a_later_visit(leaving: Page, model: StandIn) -> None:
    page = leaving
    fill_example(page)
    open_tab(page, "Compare")
    choose_grid(page, "0.5 1", "1 2")
    tab = page.get_by_role("tab", name="Compare")
    with model.held(picture=1, step=3, seed=2):
        page.locator("#compare-run").click()
        expect(page.locator("#comparison-grid .step-line")).to_contain_text("Picture 3 of 4")
        open_tab(page, "Studio")
        page.reload()
        expect(tab).to_have_attribute("title", "A comparison is running")
        expect(tab).to_have_attribute("data-at-work", "yes")
        open_tab(page, "Compare")
        expect(tab).not_to_have_attribute("data-at-work", "yes")
        expect(page.locator("#comparison-grid .step-line")).to_contain_text("Picture 3 of 4")
        profile, address = page.context, page.url
        page.close()
        later = profile.new_page()
        later.goto(address)
        expect(later.locator("#comparison-grid .step-line")).to_contain_text("Picture 3 of 4")
        expect(later.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    expect(later.locator("#compare-run")).to_be_visible()


def test_a_lost_connection_loses_nothing(browser: Browser, url: str, model: StandIn) -> None:
    """A phone in a lift: every connection ends, and for a while there is none."""
    profile = browser.new_context(**PHONE, reduced_motion="reduce", locale="en")
    profile.set_default_timeout(60_000)
    profile.add_init_script("localStorage.setItem('mmdiff-studio-guided', 'yes')")
    port = urlsplit(url).port
    assert port is not None
    with CutLine(port) as line:
        page = profile.new_page()
        page.goto(line.url)
        _lift(page, line, model)
        profile.close()


def _lift(page: Page, line: CutLine, model: StandIn) -> None:
    fill_example(page)
    set_pictures(page, 2)
    started = len(model.log)
    with model.held(picture=2, step=2):
        page.locator("#generate").click()
        expect(page.locator("#result .step-line")).to_contain_text("Picture 2 of 2")
        line.cut()
    page.wait_for_timeout(3000)
    assert [entry.split()[0] for entry in model.log[started:]] == ["start", "finished"]  # while nobody watched
    line.mend()
    expect(page.locator("#result .thumb")).to_have_count(2)
    expect(page.locator("#result .facts")).to_contain_text("Seed")
    expect(page.locator("#generate")).to_be_visible()
    expect(page.locator("#name-2 input")).to_have_value("robot")
    generate(page)
    expect(page.locator("#result .thumb")).to_have_count(3 + 1)


def test_stop_with_one_picture_says_what_happened(open_page: Open, model: StandIn) -> None:
    page = open_page()
    fill_example(page)
    with model.held(picture=1, step=3):
        page.locator("#generate").click()
        expect(page.locator("#result .step-line")).to_contain_text("step 2 of 6")
        assert _shows_progress(page, scrolled=True)
        page.locator("#stop").click()
    expect(page.locator("#generate")).to_be_visible()
    expect(page.locator("#result .notice")).to_contain_text("Stopped at step")
    expect(page.locator("#result .picture.rough")).to_be_visible()  # what there was of it
    assert overlay(page) > 0
    expect(page.locator("#result .progress")).to_be_hidden()
    generate(page)
    expect(page.locator("#result .notice")).to_be_empty()
    expect(page.locator("#result .thumb")).to_have_count(0)  # the unfinished one has made room
    with model.held(picture=1, step=1):  # below a finished picture
        page.locator("#generate").click()
        expect(page.locator("#result .step-line")).to_contain_text("Waiting")
        assert _shows_progress(page, scrolled=False)
        assert _shows_progress(page, scrolled=True)
        page.locator("#stop").click()
    expect(page.locator("#generate")).to_be_visible()


def _shows_progress(page: Page, scrolled: bool) -> bool:
    """Whether nothing covers the progress, at the top of the page or where it has been ``scrolled`` to its end."""
    page.evaluate("top => scrollTo({ top, behavior: 'instant' })", 10_000 if scrolled else 0)
    return page.locator("#result .track").evaluate(
        """track => {
          const { left, top, width, height } = track.getBoundingClientRect();
          return track.contains(document.elementFromPoint(left + width / 2, top + height / 2));
        }"""
    )


def test_another_language_is_spoken_everywhere_and_kept(open_page: Open) -> None:
    """By the finished picture, too, and by the page that is loaded again; nothing is lost on the way."""
    page = open_page()
    fill_example(page)
    generate(page)
    page.locator("#prompt textarea").fill("a robot and a cat")
    page.wait_for_timeout(500)
    page.locator("footer button.settings").click()
    page.locator(".api-docs-wrap").get_by_role("combobox").press("ArrowDown")
    page.get_by_role("option", name="Deutsch").dispatch_event("mousedown")
    result = page.locator("#result")
    for _ in range(2):
        expect(page.locator("#generate")).to_have_text("Erzeugen")
        expect(result.locator(".save")).to_have_text("Bild speichern")
        expect(result.locator(".advice-text")).to_contain_text("Aufmerksamkeit")
        expect(page.locator("#seen-1 [data-cut] span").first).to_have_text("Freistellen")
        expect(page.locator(".api-docs-wrap")).to_have_count(0)
        expect(page.locator("#prompt textarea")).to_have_value("a robot and a cat")
        expect(result.locator(".thumb, .picture").first).to_be_visible()
        page.reload()
