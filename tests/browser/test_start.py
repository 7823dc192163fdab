"""The first minutes: the finished example, examples that make their picture, and a picture that is out of date."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from demo.form.examples import EXAMPLES
from demo.page import build_ui
from demo.viewer.example_picture import make_example, write_example
from tests.browser.page import DESK, LAPTOP, PHONE, Open, fill_example, generate, overlay, set_pictures
from tests.helpers.stand_in import StandIn, served_page


@pytest.fixture(scope="module")
def url(model: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page that begins with a finished example."""
    folder = tmp_path_factory.mktemp("example")
    write_example(make_example(model, EXAMPLES[0]), folder)  # type: ignore[arg-type]
    with served_page(build_ui(model, example=folder)) as url:  # type: ignore[arg-type]
        yield url


def _is_stale(page: Page) -> None:
    expect(page.locator("#result .stale-note")).to_be_visible()


def _is_fresh(page: Page) -> None:
    expect(page.locator("#result .stale-note")).to_be_hidden()


@pytest.mark.smoke
def test_a_page_begins_with_a_finished_example_that_answers(open_page: Open) -> None:
    page = open_page()
    expect(page.locator("#result .example-note")).to_be_visible()
    expect(page.locator("#result .sentence mark")).to_have_text(["cat", "robot"])
    page.wait_for_function("() => document.querySelector('#result .picture').naturalWidth > 0")
    before = overlay(page)
    assert before > 0
    page.locator("#result .heatmap-box").hover()
    expect(page.locator("#result .reading")).to_contain_text("cat")
    page.locator("#result .chip", has_text="cat").click()
    page.mouse.move(0, 0)
    assert overlay(page) != before
    for part in (".button-row", ".use-settings", ".thumb"):  # there is nothing of one's own to save
        expect(page.locator(f"#result {part}").first).to_be_hidden()
    fill_example(page, 1)
    generate(page)
    expect(page.locator("#result .example-note")).to_be_hidden()
    expect(page.locator("#result .sentence mark")).to_have_text(["dog"])
    expect(page.locator("#result .thumb")).to_have_count(0)  # the example is not part of the history


def test_every_example_makes_its_picture_and_ends_the_run_before(open_page: Open, model: StandIn) -> None:
    page = open_page()
    page.locator(".example").nth(1).click()
    expect(page.locator("#result .sentence mark")).to_have_text(["dog"])
    expect(page.locator("#result .facts")).to_contain_text(f"Seed {EXAMPLES[1].seed} ")
    expect(page.locator("#generate")).to_be_visible()
    set_pictures(page, 2)
    started = len(model.log)
    with model.held(picture=1, step=3):
        page.locator("#generate").click()
        expect(page.locator("#result .step-line")).to_contain_text("step 2")
        page.locator(".example").first.click()
        expect(page.locator("#stop")).to_have_text("Stopping after this step …")
    expect(page.locator("#result .sentence mark")).to_have_text(["cat", "robot"])
    expect(page.locator("#generate")).to_be_visible()
    assert [line.split()[0] for line in model.log[started:]] == ["start", "cancelled", "start", "finished"]
    assert model.asked[-1].seeds[0] == EXAMPLES[0].seed


def test_a_picture_fades_when_the_fields_are_no_longer_its_own(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    generate(page)
    _is_fresh(page)
    page.locator("#prompt textarea").fill("a cat next to a robot in the snow")
    _is_stale(page)
    page.wait_for_function("() => Number(getComputedStyle(document.querySelector('#result .bare')).opacity) < 1")
    page.locator("#prompt textarea").fill("a cat next to a robot on the beach")
    _is_fresh(page)
    page.locator("#strength-1 input[type=number]").fill("0.5")
    _is_stale(page)
    generate(page)
    _is_fresh(page)
    page.locator("#remove-2").click()
    _is_stale(page)
    page.keyboard.press("Control+z")
    _is_fresh(page)


@pytest.mark.parametrize("screen", [DESK, LAPTOP, PHONE], ids=["desk", "laptop", "phone"])
def test_nothing_moves_when_progress_shows(open_page: Open, model: StandIn, screen: dict[str, object]) -> None:
    page = open_page(**screen)
    fill_example(page)
    generate(page)
    height = "() => document.querySelector('#result .viewer').scrollHeight"
    before = page.evaluate(height)
    with model.held(picture=1, step=1):
        page.locator("#generate").click()
        expect(page.locator("#result .step-line")).to_be_visible()
        assert page.evaluate(height) == before
    expect(page.locator("#generate")).to_be_visible()
