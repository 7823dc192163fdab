"""Live: a slider that moves is answered by a picture and its heatmap, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.page import PHONE, Open, fill_example, open_settings, overlay, painted, set_range
from tests.helpers.stand_in import Defaults, StandIn

GUIDANCE = "#guidance input[type=range]"
STRENGTH = "#strength-1 input[type=range]"


@pytest.fixture(scope="module")
def model() -> StandIn:
    """Has a student, which runs without guidance."""
    return StandIn(fast=Defaults(steps=3, guidance=1.0, start_step=0))


def _turn_on(page: Page) -> None:
    """Returns when the first picture is on the screen."""
    fill_example(page)
    page.evaluate(
        """() => {
             window.painted = [];
             document.addEventListener("mmdiff-painted", ({ detail }) => window.painted.push(detail.move));
           }"""
    )
    page.locator("#live .live-on").check()
    page.wait_for_function("window.painted.length === 1")


def _wait_for(page: Page, count: int) -> None:
    page.wait_for_function(f"window.painted.length >= {count}")


def _scales(model: StandIn, since: int) -> list[float]:
    return [request.subjects[0].scale for request in model.asked[since:]]


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_a_slider_that_moves_is_answered_and_kept_once_it_rests(
    open_page: Open, model: StandIn, options: dict[str, object]
) -> None:
    page = open_page(**options)
    since = len(model.asked)
    _turn_on(page)
    set_range(page, STRENGTH, 2)
    _wait_for(page, 2)
    open_settings(page)
    before = overlay(page)
    page.locator("#seed input").fill("77")
    _wait_for(page, 3)
    assert overlay(page) != before
    assert _scales(model, since)[:2] == [1, 2]
    assert {request.steps for request in model.asked[since:]} == {3}
    assert model.asked[-1].seeds == (77,)
    expect(page.locator("#result .announce")).to_have_text("The picture is ready.")
    expect(page.locator("#result .button-row")).to_be_visible()
    expect(page.locator("#result .viewer")).not_to_have_class("stale")
    assert page.locator("#result .thumb").count() <= 3  # each rest is one
    made = len(model.asked)
    set_range(page, GUIDANCE, 7)
    expect(page.locator("#live .live-state")).to_contain_text("Guidance changes nothing in Live")
    page.wait_for_timeout(300)
    assert len(model.asked) == made
    view = page.locator("#live .live-view")
    if options:  # the result is below: what moves is seen beside the switch
        page.locator(STRENGTH).scroll_into_view_if_needed()
        expect(view).to_be_in_viewport()
        assert painted(page, "#live .live-view canvas")
        assert page.locator("#reach").bounding_box()["height"] < page.viewport_size["height"] / 5
        page.locator("#result .stage").scroll_into_view_if_needed()
    expect(view).to_be_hidden()


def test_of_many_moves_the_last_is_shown_and_the_run_before_it_is_cancelled(open_page: Open, model: StandIn) -> None:
    page = open_page()
    _turn_on(page)
    since, logged = len(model.asked), len(model.log)
    with model.held(picture=1, step=2):
        set_range(page, STRENGTH, 0.3)
        page.wait_for_timeout(400)  # it is being made
        with page.expect_request(lambda sent: "2.9" in (sent.post_data or "") and "move" in (sent.post_data or "")):
            page.locator(STRENGTH).evaluate(
                """async (slider) => {
                     for (const value of [1.1, 1.5, 1.9, 2.3, 2.9]) {
                       slider.value = value;
                       slider.dispatchEvent(new Event("input", { bubbles: true }));
                       await new Promise(requestAnimationFrame);
                     }
                   }"""
            )
        page.wait_for_timeout(600)  # until it is in the server
    _wait_for(page, 2)
    assert _scales(model, since) == [0.3, 2.9]
    assert page.evaluate("window.painted.length") == 2
    assert model.log[logged:] == ["start (0,)", "cancelled", "start (0,)", "finished"]


def test_the_keyboard_moves_it_and_generate_comes_first(open_page: Open, model: StandIn) -> None:
    page = open_page()
    _turn_on(page)
    expect(page.locator("#live .live-state")).to_be_empty()
    page.locator(STRENGTH).focus()
    page.keyboard.press("ArrowRight")
    _wait_for(page, 2)
    assert model.asked[-1].subjects[0].scale == 1.05
    open_settings(page)
    page.locator("#bound input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    _wait_for(page, 3)
    assert model.asked[-1].word_gating == 0.05
    with model.held(picture=1, step=5):  # which pictures of moves do not have
        page.locator("#generate").click()
        expect(page.locator("#result .step-line")).to_contain_text("step 4 of 6")
        made = len(model.asked)
    expect(page.locator("#generate")).to_be_visible()
    page.wait_for_timeout(800)
    assert len(model.asked) == made  # the seed that Generate drew is no move
    assert model.asked[-1].steps == 6


def test_what_is_wrong_is_a_hint_and_no_message(open_page: Open, model: StandIn) -> None:
    page = open_page()
    since = len(model.asked)
    page.locator("#live .live-on").check()
    expect(page.locator("#live .live-state")).to_contain_text("Live waits: There is no subject yet")
    expect(page.locator("[data-testid=toast-body]")).to_have_count(0)
    assert len(model.asked) == since
    page.locator("#live .live-on").uncheck()
    expect(page.locator("#live .live-state")).to_have_text("Live is off.")
