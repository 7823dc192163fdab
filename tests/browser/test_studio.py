"""The page as a person meets it, driven in Chromium against the stand-in model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.page import (
    PHONE,
    Open,
    cancelled,
    fill_example,
    generate,
    open_settings,
    open_tab,
    overlay,
    set_pictures,
    set_range,
    stop,
)
from tests.helpers.stand_in import StandIn


def test_from_an_example_to_a_picture_with_heatmaps(open_page: Open, model: StandIn, tmp_path: Path) -> None:
    page = open_page()
    fill_example(page)
    expect(page.locator("#name-1 input")).to_have_value("cat")
    expect(page.locator("#photos-2 .grid-container img")).to_have_count(3)
    with model.held(picture=1, step=4):
        page.locator("#generate").click()
        expect(page.locator("#stop")).to_be_visible()
        expect(page.locator("#result .step-line")).to_contain_text("step 3 of 6")  # and a live preview:
        expect(page.locator("#result .picture.rough")).to_be_visible()
    expect(page.locator("#result .button-row")).to_be_visible()
    expect(page.locator("#generate")).to_be_visible()
    expect(page.locator("#result .sentence mark")).to_have_text(["cat", "robot"])

    with page.expect_download() as download:
        page.locator("#result .save").click()
    path = tmp_path / "saved.png"
    download.value.save_as(path)
    with Image.open(path) as picture:
        settings = json.loads(picture.info["mmdiff"])
    assert settings["prompt"] == "a cat next to a robot on the beach"
    assert f"Seed {settings['seed']} " in page.locator("#result .facts").text_content()
    with page.expect_download() as download:
        page.locator("#result .save-overlay").click()
    assert download.value.suggested_filename.endswith("-heatmap.png")


@pytest.mark.parametrize("options", [pytest.param({}, marks=pytest.mark.smoke), PHONE], ids=["desktop", "phone"])
def test_a_first_visit_needs_one_click(open_page: Open, model: StandIn, options: dict[str, object]) -> None:
    """An example fills the page, makes the picture, and a note points at the heatmap; the next one needs no note."""
    page = open_page(guided=True, **options)
    page.locator(".example").first.click()
    note = page.locator("#result .guide")
    expect(note).to_be_visible()
    expect(note).to_contain_text("This is the heatmap")
    expect(page.locator("#result .sentence mark")).to_have_text(["cat", "robot"])
    assert page.evaluate(  # both at one moment: a phone scrolls to the result
        """() => document.querySelector("#result .guide").getBoundingClientRect().top
                 >= document.querySelector("#result .heatmap-box").getBoundingClientRect().bottom - 1"""
    )
    note.get_by_role("button").click()
    expect(note).to_have_count(0)

    page.reload()
    page.locator(".example").nth(1).click()
    expect(page.locator("#result .sentence mark")).to_have_text(["dog"])
    expect(page.locator("#generate")).to_be_visible()
    expect(page.locator(".guide")).to_be_hidden()


def test_the_heatmap_answers_at_once_and_without_the_server(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    generate(page)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    seen = [overlay(page)]

    page.locator("#result .chip", has_text="cat").click()
    page.mouse.move(0, 0)
    seen.append(overlay(page))
    page.locator("#result .chip", has_text="Show all").click()
    assert overlay(page) == seen[0]
    set_range(page, "#result .step", 2)
    expect(page.locator("#result .step-text")).to_have_text("2 of 6")
    seen.append(overlay(page))
    set_range(page, "#result .opacity", 30)
    seen.append(overlay(page))
    page.locator("#result .kinds label", has_text="Photos").click()
    set_range(page, "#result .step", 1)
    expect(page.locator("#result .readout")).to_contain_text("the photos join in later")
    seen.append(overlay(page))

    assert len(set(seen)) == len(seen)
    assert seen[-1] == 0
    assert requests == []


@pytest.mark.smoke
def test_the_heatmap_works_by_keyboard(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    generate(page)
    page.locator("#result .step").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#result .step-text")).to_have_text("1 of 6")
    page.locator("#result .kinds input:checked").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#result .kinds input:checked")).to_have_value("text")
    chip = page.locator("#result .chip", has_text="robot")
    chip.focus()
    page.keyboard.press("Enter")
    expect(chip).to_have_attribute("aria-pressed", "false")
    expect(chip).to_be_focused()


def test_holding_the_picture_shows_it_alone(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    generate(page)
    page.locator("#result .heatmap-box").hover()
    expect(page.locator("#result .reading")).to_contain_text("cat")
    page.mouse.down()
    assert overlay(page) == 0
    page.mouse.up()
    assert overlay(page) > 0


def test_stop_keeps_what_is_finished(open_page: Open, model: StandIn) -> None:
    page = open_page()
    fill_example(page)
    set_pictures(page, 3)
    started = len(model.log)
    with model.held(picture=2, step=3):
        page.locator("#generate").click()
        expect(page.locator("#result .step-line")).to_contain_text("Picture 2 of 3")
        for part in (".button-row", ".reuse"):  # they are for finished pictures
            expect(page.locator(f"#result {part}")).to_be_hidden()
        stop(page)
    assert cancelled(model, page, started)
    expect(page.locator("#generate")).to_be_visible()
    row, reuse = (page.locator(f"#result {part}").bounding_box() for part in (".button-row", ".reuse"))
    assert reuse["y"] - row["y"] - row["height"] < 20  # no empty band
    expect(page.locator("#result .progress")).to_be_hidden()
    expect(page.locator("#result .notice")).to_have_text("Stopped. 1 of 3 pictures are finished.")
    expect(page.locator("#result .thumb")).to_have_count(0)  # one picture alone has none
    page.locator("#generate").click()  # and the next run works
    expect(page.locator("#stop")).to_have_text("Stop")
    expect(page.locator("#result .thumb")).to_have_count(1 + 3)
    expect(page.locator("#generate")).to_be_visible()


def test_a_run_that_fails_says_so_and_the_page_rests(
    open_page: Open, model: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page()
    fill_example(page)
    set_pictures(page, 2)
    monkeypatch.setattr(model, "fails_at", (2, 3))
    page.locator("#generate").click()
    expect(page.locator("[data-testid=toast-body]")).to_contain_text("There was not enough memory")
    expect(page.locator("#generate")).to_be_visible()
    expect(page.locator("#result .progress")).to_be_hidden()
    expect(page.locator("#result .button-row")).to_be_visible()  # the first picture stays
    open_tab(page, "Compare")
    monkeypatch.setattr(model, "fails_at", (1, 3))
    page.locator("#compare-run").click()
    expect(page.locator("#comparison-grid .cells > *")).to_be_visible()
    expect(page.locator("#compare-run")).to_be_visible()
    expect(page.locator("#comparison-grid .progress")).to_be_hidden()
    assert model.log[-1].startswith("start")


def test_a_double_click_is_one_click(open_page: Open, model: StandIn) -> None:
    """Stop, which takes the place of Generate, takes no click for half a second, which is held here at its middle."""
    page = open_page()
    fill_example(page)
    started = len(model.log)
    with model.held(picture=1, step=1):
        page.locator("#generate").click()
        stop = page.locator("#stop")
        stop.wait_for()
        stop.evaluate(
            """node => {
              node.style.animation = "none";
              void node.offsetWidth; // from here on it begins again
              node.style.animation = "";
              const [wait] = node.getAnimations().filter(({ animationName }) => animationName === "not-yet");
              wait.pause();
              wait.currentTime = 250;
            }"""
        )
        box = stop.bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        stop.evaluate("node => node.getAnimations().forEach((each) => each.finish())")
        assert stop.evaluate("node => getComputedStyle(node).pointerEvents") == "auto"
    expect(page.locator("#result .button-row")).to_be_visible()
    expect(page.locator("#generate")).to_be_visible()
    assert [line.split()[0] for line in model.log[started:]] == ["start", "finished"]


def test_stop_is_heard_before_the_first_step(open_page: Open, model: StandIn) -> None:
    page = open_page()
    fill_example(page)
    started = len(model.log)
    with model.held(picture=1, step=1):
        page.locator("#generate").click()
        expect(page.locator("#result .step-line")).to_contain_text("photos")
        stop(page)
    assert cancelled(model, page, started)
    expect(page.locator("#generate")).to_be_visible()
    expect(page.locator("#result .notice")).to_contain_text("Stopped")  # before or at the first step, as it came


def test_cards_come_and_go_with_their_photos(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    page.locator("#add-subject").click()
    page.locator("#random-toy-3").click()
    expect(page.locator("#photos-3 .grid-container img")).to_have_count(3)
    third = page.locator("#name-3 input").input_value()
    assert third
    page.locator("#remove-1").click()
    expect(page.locator("#name-2 input")).to_have_value(third)
    expect(page.locator("#name-1 input")).to_have_value("robot")
    expect(page.locator("#photos-2 .grid-container img")).to_have_count(3)
    expect(page.locator("#name-3 input")).to_be_hidden()


def test_two_people_do_not_see_each_other(open_page: Open) -> None:
    one, two = open_page(), open_page()
    fill_example(one, 0)
    fill_example(two, 1)
    one.locator("#generate").click()
    two.locator("#generate").click()
    expect(one.locator("#result .button-row")).to_be_visible()
    expect(two.locator("#result .button-row")).to_be_visible()
    expect(one.locator("#result .sentence mark")).to_have_text(["cat", "robot"])
    expect(two.locator("#result .sentence mark")).to_have_text(["dog"])


def test_stop_also_leaves_the_queue(open_page: Open, model: StandIn) -> None:
    one, two = open_page(), open_page()
    fill_example(one, 0)
    fill_example(two, 1)
    started = len(model.log)
    with model.held(picture=1, step=2):
        one.locator("#generate").click()
        expect(one.locator("#result .step-line")).to_contain_text("step")
        two.locator("#generate").click()
        expect(two.locator("#ahead .ahead")).to_have_text("1 person is ahead of you.")
        with two.expect_request("**/cancel"):
            two.locator("#stop").click()
        expect(two.locator("#generate")).to_be_visible()  # nothing of it was at work
        expect(two.locator("#ahead .ahead")).to_be_empty()
    expect(one.locator("#result .button-row")).to_be_visible()
    expect(one.locator("#generate")).to_be_visible()
    two.wait_for_timeout(1500)  # in which nothing must begin
    assert [line.split()[0] for line in model.log[started:]] == ["start", "finished"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_one_column(open_page: Open, theme: str) -> None:
    page = open_page(theme, **PHONE)
    widths = [page.evaluate("document.documentElement.scrollWidth")]
    fill_example(page)
    open_settings(page)
    widths.append(page.evaluate("document.documentElement.scrollWidth"))
    generate(page)
    widths.append(page.evaluate("document.documentElement.scrollWidth"))
    assert widths == [390] * 3
    left, right = page.locator("#left").bounding_box(), page.locator("#right").bounding_box()
    assert left["x"] == right["x"]
    assert right["x"] + right["width"] <= 390
    picture, canvas = page.evaluate(
        """() => ["#result .picture", "#result .overlay"].map((selector) =>
                   JSON.stringify(document.querySelector(selector).getBoundingClientRect()))"""
    )
    assert picture == canvas


def test_about_shows_the_shapes_of_ones_own_picture(open_page: Open) -> None:
    one, two = open_page(), open_page(**PHONE)
    fill_example(one)
    generate(one)
    for page in (one, two):
        page.get_by_role("tab", name="About").click()
    expect(one.locator(".about [data-fact=prompt]")).to_have_text("a cat next to a robot on the beach")
    expect(one.locator(".about [data-fact=photos]")).to_have_text("3 + 3 = 6 × 3 × 64 × 64")
    expect(one.locator(".about [data-rows=layers] tr")).to_have_count(1)
    expect(one.locator(".about [data-when=idle]")).to_be_hidden()
    expect(two.locator(".about [data-when=idle]")).to_be_visible()  # somebody else made none
    expect(two.locator(".about [data-fact=no_kinds]")).to_contain_text("owl")
    assert two.evaluate("document.documentElement.scrollWidth") == 390


def test_a_link_fills_in_the_page_of_somebody_else(open_page: Open, url: str) -> None:
    """With its toys; the address then holds no link any more, so that a reload keeps what is typed since."""
    page = open_page()
    fill_example(page)
    generate(page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#result .copy-link").click()
    expect(page.locator("#result .copy-note")).to_have_text("Copied. The link fills in everything, toys included.")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{url}?prompt=a+cat")
    other = open_page()
    other.goto(link)
    expect(other.locator("#seen-2 img")).to_have_count(3)
    expect(other.locator(".link-note")).to_have_text(re.compile("^The fields are filled in from the link"))
    open_settings(page)
    open_settings(other)
    expect(other.locator("#seed input")).to_have_value(page.locator("#seed input").input_value())
    expect(other.locator("#name-1 input")).to_have_value("cat")
    assert "prompt=" not in other.url
    other.locator("#prompt textarea").fill("a cat and a robot in the snow")
    other.wait_for_timeout(500)
    other.reload()
    expect(other.locator("#prompt textarea")).to_have_value("a cat and a robot in the snow")


def test_a_hostile_link_is_shown_as_it_is_and_breaks_nothing(open_page: Open, url: str) -> None:
    page = open_page()
    page.wait_for_timeout(2000)  # a page that is left breaks off what it has asked for, and complains
    script = "<img src=x onerror=\"document.body.dataset.broken='yes'\">"
    values = {"prompt": f"a cat {script}", "seed": script, "steps": "9" * 99, "model": script, "sampler": script}
    page.goto(f"{url}?{urlencode([*values.items(), *[('subject', f'{script}~1e9~{script}')] * 9])}")
    expect(page.locator("#prompt textarea")).to_have_value(f"a cat {script}")
    expect(page.locator(".link-note")).to_contain_text("Not taken over:")
    page.wait_for_timeout(2000)
    assert page.locator("body").get_attribute("data-broken") is None
    page.goto(f"{url}?prompt=")
    expect(page.locator(".link-note")).to_have_text("The link is damaged or too long: ask for it again.")
    fill_example(page)
    generate(page)


def test_the_next_picture_starts_from_this_one(open_page: Open, model: StandIn) -> None:
    """Its field opens with it, a reload keeps it, and Undo takes it back."""
    page = open_page()
    fill_example(page)
    generate(page)
    page.locator("#result .start-from").click()
    expect(page.locator("#photos-start img")).to_have_count(1)
    expect(page.locator(".undo-what")).to_have_text("The next picture starts from this one.")
    page.wait_for_timeout(500)  # until the browser keeps it
    page.reload()
    expect(page.locator("#photos-start img")).to_have_count(1)
    generate(page)
    assert model.asked[-1].image is not None
    expect(page.locator("#result .facts")).to_contain_text("from a picture, strength 60%")
