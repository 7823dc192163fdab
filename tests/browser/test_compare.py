"""Variants beside each other, in Chromium against the stand-in model."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from demo.studio.form_panel import FormPanel
from tests.browser.page import (
    PHONE,
    Open,
    cancelled,
    choose_grid,
    compare,
    fill_example,
    open_settings,
    open_tab,
    painted,
    set_range,
    stop,
)
from tests.helpers.stand_in import StandIn, served


@pytest.fixture
def opened(open_page: Open) -> Page:
    """The Compare tab over a cat and a robot."""
    page = open_page()
    fill_example(page)
    open_tab(page, "Compare")
    expect(page.locator("#compare-summary .summary")).to_have_text("7 pictures")
    return page


def _painted(page: Page, canvas: str) -> int:
    """Its fingerprint, as soon as it shows something: its picture has to come first."""
    for _ in range(300):
        if seen := painted(page, canvas):
            return seen
        page.wait_for_timeout(100)
    raise AssertionError("nothing was painted")


@pytest.mark.smoke
def test_something_left_out_in_turn(opened: Page) -> None:
    page = opened
    expect(page.locator("#compare-base mark")).to_have_text(["cat", "robot"])
    expect(page.locator("#compare-summary .hint").first).to_contain_text("Seed 0 · Steps 6")
    page.locator("#left-out label", has_text="Null token").click()
    page.locator("#left-out label", has_text="All photos").click()
    expect(page.locator("#compare-summary .summary")).to_have_text("7 pictures")
    compare(page)
    expect(page.locator("#comparison-grid figcaption:visible").filter(has_not=page.locator("select"))).to_have_text(
        [
            "As in the Studio",
            "Without vision-augmented text",
            "Without SE-Refiner",
            "Without image branch",
            "Without the photos of cat",
            "Without the photos of robot",
            "Without any photo",
        ]
    )
    expect(page.locator("#comparison-grid .cell:enabled")).to_have_count(7)
    expect(page.locator("#comparison-grid .announce")).to_have_text("The comparison is ready.")
    _painted(page, "#comparison-grid .cell >> nth=0 >> canvas")
    page.wait_for_function(
        "() => [...document.querySelectorAll('#comparison-grid .cell img')].every((image) => image.naturalWidth)"
    )
    assert painted(page, "#comparison-grid .cell >> nth=6 >> canvas") == 0  # nobody is looked for there
    gaps = page.locator("#comparison-grid .gap:visible")
    expect(gaps).to_have_text(["No photos are used here, so there is no map."])
    page.locator("#comparison-grid .kinds label", has_text="No heatmap").click()
    expect(gaps).to_have_count(0)


def test_a_slider_lies_between_two(opened: Page) -> None:
    page, requests = opened, []
    compare(page)
    page.on("request", lambda request: requests.append(request.url))
    sides = page.locator("#comparison-grid .lens-name")
    expect(sides).to_have_text(["As in the Studio", "Without vision-augmented text"])
    page.locator("#comparison-grid .cell").nth(4).click()
    expect(sides).to_have_text(["As in the Studio", "Without null token"])
    page.locator('#comparison-grid select[data-side="left"]').select_option(label="Without SE-Refiner")
    expect(sides).to_have_text(["Without SE-Refiner", "Without null token"])
    before = _painted(page, "#comparison-grid .lens-side >> nth=0 >> canvas")
    set_range(page, "#comparison-grid .lens-slider", 20)
    shown = page.locator('#comparison-grid .lens-side[data-side="right"]').evaluate(
        "node => getComputedStyle(node).clipPath"
    )
    assert shown.endswith("20%)")
    page.locator("#comparison-grid .lens-slider").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#comparison-grid .lens-slider")).to_have_value("21")
    page.locator("#comparison-grid .kinds label", has_text="No heatmap").click()
    assert painted(page, "#comparison-grid .lens-side >> nth=0 >> canvas") == 0 < before
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == []


def test_a_grid_has_its_axes_and_its_pictures_open_in_the_studio(opened: Page, open_page: Open, tmp_path: Path) -> None:
    page = opened
    choose_grid(page, "0.5 1", "5 6")
    compare(page)
    expect(page.locator("#comparison-grid th")).to_have_text(["Strength", "Seed", "0.5", "1", "5", "6"])
    with page.expect_download() as download:
        page.locator("#comparison-grid .save-grid").click()
    with Image.open(download.value.path()) as picture:
        assert picture.width > 2 * 256 < picture.height
    saved = str(tmp_path / "mm-diff-compare.png")
    download.value.save_as(saved)
    later = open_page()
    with later.expect_file_chooser() as chooser:
        later.locator("#open-picture").click()
    chooser.value.set_files(saved)
    expect(later.locator("#prompt textarea")).to_have_value("a cat next to a robot on the beach")
    expect(later.locator(".undo-what")).to_contain_text("It is a comparison")
    expect(later.locator("#seen-1 img")).to_have_count(3)  # a toy
    open_tab(later, "Compare")
    expect(later.locator("#columns :is(input, textarea)")).to_have_value("0.5 1")
    expect(later.locator("#rows :is(input, textarea)")).to_have_value("5 6")
    expect(later.locator("#compare-summary .summary")).to_have_text("4 pictures")
    page.locator("#comparison-grid .look-into").nth(3).click()
    expect(page.locator("#result .button-row")).to_be_visible()
    expect(page.locator("#result .facts")).to_contain_text("Strength 1 · Seed 6 ")
    expect(page.locator("#result .strip-cell")).to_have_count(6)
    page.locator("#result .more > summary").click()
    with page.expect_download() as download:
        page.locator("#result .pack").click()
    assert download.value.suggested_filename == "mm-diff-6.zip"
    open_tab(page, "Compare")
    page.locator("#comparison-grid .look-into").nth(3).click()  # once more: it is there once
    expect(page.locator("#result .facts")).to_be_visible()
    expect(page.locator("#result .thumb")).to_have_count(0)


def _choose_axis(page: Page, field: str, *keys: str) -> None:
    """Open a dropdown and go through it with the keyboard."""
    page.locator(f"{field} input").click()
    for key in (*keys, "Enter"):
        page.keyboard.press(key)
    page.keyboard.press("Escape")


def test_heatmaps_keep_their_colours_in_a_tab_that_is_out_of_sight(opened: Page, model: StandIn) -> None:
    """Painted where nothing has a size, each would be one grey pixel."""
    page = opened
    sides = "canvases => canvases.map(canvas => canvas.width)"
    canvases = page.locator("#comparison-grid .place canvas")
    with model.held(picture=1, step=6):
        page.locator("#compare-run").click()
        expect(page.locator("#comparison-grid .step-line")).to_contain_text("step")
        open_tab(page, "Studio")
    expect(page.locator("#comparison-grid .cell:not([disabled])")).to_have_count(7)
    open_tab(page, "Compare")
    for number in range(1, 8):
        if number != 4:  # without the image branch there are no maps
            _painted(page, f"#comparison-grid .variant:nth-child({number}) canvas")
    before = canvases.evaluate_all(sides)
    assert min(before) > 100
    open_tab(page, "Studio")
    page.wait_for_timeout(300)
    assert canvases.evaluate_all(sides) == before
    open_tab(page, "Compare")
    assert canvases.evaluate_all(sides) == before  # at once


def test_typed_values_come_back_with_their_setting(opened: Page) -> None:
    page = opened
    choose_grid(page, "0.25 0.75", "5 6")
    columns, across = page.locator("#columns :is(input, textarea)"), page.locator("#across input")
    _choose_axis(page, "#across", "ArrowDown")
    expect(across).not_to_have_value("Strength")
    expect(columns).not_to_have_value("0.25 0.75")
    other = columns.input_value()
    _choose_axis(page, "#across", "ArrowUp")
    expect(across).to_have_value("Strength")
    expect(columns).to_have_value("0.25 0.75")
    page.wait_for_function("() => localStorage.getItem('mmdiff-compare')?.includes('0.25 0.75')")
    page.reload()
    open_tab(page, "Compare")
    expect(columns).to_have_value("0.25 0.75")
    _choose_axis(page, "#across", "ArrowDown")
    expect(columns).to_have_value(other)
    _choose_axis(page, "#across", "ArrowUp")
    expect(columns).to_have_value("0.25 0.75")
    expect(page.locator("#rows :is(input, textarea)")).to_have_value("5 6")


def test_the_studio_shows_what_an_opened_picture_was_made_with(opened: Page) -> None:
    page = opened
    choose_grid(page, "0.5 1", "5 6")
    compare(page)
    open_tab(page, "Studio")
    page.locator("#prompt textarea").fill("a cat in the snow, and a robot")
    open_tab(page, "Compare")
    page.locator("#comparison-grid .look-into").nth(2).click()
    expect(page.locator("#result .facts")).to_contain_text("Strength 0.5 · Seed 6 ")
    expect(page.locator("#prompt textarea")).to_have_value("a cat next to a robot on the beach")
    for number in (1, 2):
        expect(page.locator(f"#strength-{number} input[type=number]")).to_have_value("0.5")
        expect(page.locator(f"#seen-{number} img")).to_have_count(3)
    open_settings(page)
    expect(page.locator("#seed input")).to_have_value("6")
    expect(page.locator("#fresh-seed input")).not_to_be_checked()
    page.locator("#undo").get_by_role("button", name="Undo").click()
    expect(page.locator("#prompt textarea")).to_have_value("a cat in the snow, and a robot")
    expect(page.locator("#strength-1 input[type=number]")).to_have_value("1")
    expect(page.locator("#seed input")).to_have_value("0")


def test_stop_keeps_the_finished_pictures(opened: Page, model: StandIn) -> None:
    page = opened
    choose_grid(page, "0.5 1", "5 6")
    started = len(model.log)
    with model.held(picture=1, step=4, seed=6):
        page.locator("#compare-run").click()
        expect(page.locator("#comparison-grid .step-line")).to_contain_text("Picture 3 of 4 · step 3 of 6")
        stop(page, "#compare-stop")
    assert cancelled(model, page, started)
    expect(page.locator("#compare-run")).to_be_visible()
    expect(page.locator("#comparison-grid .progress")).to_be_hidden()
    expect(page.locator("#comparison-grid .cell:enabled")).to_have_count(2)
    expect(page.locator("#comparison-grid .cell:disabled")).to_have_count(2)
    for number in range(2):  # nothing of the picture that was in the making
        assert painted(page, f"#comparison-grid .cell:disabled >> nth={number} >> canvas") == 0
    page.locator("#comparison-grid .look-into").first.click()
    expect(page.locator("#result .facts")).to_contain_text("Strength 0.5 · Seed 5 ")


def test_a_number_that_no_field_takes_is_said_here_too(opened: Page, model: StandIn) -> None:
    page, started = opened, len(model.log)
    open_tab(page, "Studio")
    open_settings(page)
    page.locator("#steps input[type=number]").fill("500")
    expect(page.locator("#steps .field-error")).to_be_visible()
    open_tab(page, "Compare")
    page.locator("#compare-run").click()
    expect(page.locator("#compare-summary .summary")).to_have_text("Steps: Give a number from 1 to 100.")
    expect(page.locator("#compare-summary .summary")).to_have_class("summary first-error")
    assert model.log[started:] == []


def test_what_is_wrong_is_said_and_loses_nothing(open_page: Open, model: StandIn) -> None:
    page = open_page()
    started = len(model.log)
    open_tab(page, "Compare")
    summary = page.locator("#compare-summary .summary")
    page.locator("#compare-run").click()
    expect(summary).to_have_class("summary first-error")
    expect(summary).to_contain_text("no subject yet")
    open_tab(page, "Studio")
    fill_example(page)
    open_tab(page, "Compare")
    expect(summary).to_have_text("7 pictures")
    choose_grid(page, "0.5 1", "5")
    page.locator("#columns :is(input, textarea)").fill("0.5 strong")
    expect(summary).to_have_text("“strong” is not a number.")
    page.keyboard.press("Control+Enter")
    expect(summary).to_have_class("summary first-error")
    expect(page.locator("#columns :is(input, textarea)")).to_have_value("0.5 strong")
    assert model.log[started:] == []


def test_two_people_have_their_own_comparisons(open_page: Open) -> None:
    pages = [open_page(), open_page()]
    for number, page in enumerate(pages):
        fill_example(page, number)
        open_tab(page, "Compare")
        page.locator("#compare-run").click()
    for page, count in zip(pages, (7, 6), strict=True):
        expect(page.locator("#comparison-grid .cell:enabled")).to_have_count(count)
    expect(pages[0].locator("#comparison-grid .legend")).to_have_text("catrobot")
    expect(pages[1].locator("#comparison-grid .legend")).to_have_text("dog")


def test_a_reload_loses_no_field(opened: Page) -> None:
    choose_grid(opened, "0.5 1", "4 5 6")
    opened.wait_for_function("() => localStorage.getItem('mmdiff-compare')?.includes('4 5 6')")
    opened.reload()
    open_tab(opened, "Compare")
    expect(opened.locator("#columns :is(input, textarea)")).to_have_value("0.5 1")
    expect(opened.locator("#rows :is(input, textarea)")).to_have_value("4 5 6")
    expect(opened.locator("#left-out")).to_be_hidden()
    expect(opened.locator("#compare-summary .summary")).to_have_text("6 pictures")


def test_what_no_field_takes_is_left(opened: Page) -> None:
    opened.add_init_script(  # before the next page reads it: this one may still write
        """
        const kept = { mode: "mode-omit", omit: ["null_token", "soul"], across: "axis-colour", rows: 3 };
        for (const storage of [localStorage, sessionStorage]) storage.setItem("mmdiff-compare", JSON.stringify(kept));
        """
    )
    opened.reload()
    open_tab(opened, "Compare")
    expect(opened.locator("#left-out input:checked")).to_have_count(1)
    expect(opened.locator("#compare-summary .summary")).to_have_text("2 pictures")
    opened.locator("#compare-mode label", has_text="Grid").click()
    expect(opened.locator("#columns :is(input, textarea)")).to_have_value("0.5 1 1.5")


def test_a_draft_that_comes_late_is_waited_for(
    open_page: Open, model: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    recall = FormPanel._recall

    def slowly(self: FormPanel, kept: object) -> object:
        time.sleep(3)
        return recall(self, kept)

    monkeypatch.setattr(FormPanel, "_recall", slowly)
    with served(model) as url:
        page = open_page(at=url)
        fill_example(page)
        page.wait_for_function("() => JSON.parse(sessionStorage.getItem('mmdiff-studio'))?.['photos-2']?.length === 3")
        page.reload()
        expect(page.locator("#left[inert]")).to_be_visible()  # what is typed now would be lost
        open_tab(page, "Compare")
        expect(page.locator("#compare-summary .summary")).to_have_text("7 pictures")
        open_tab(page, "Studio")
        expect(page.locator("#left:not([inert])")).to_be_visible()
        expect(page.locator("#seen-2 img")).to_have_count(3)
        page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_it_too(open_page: Open, theme: str) -> None:
    page = open_page(theme, **PHONE)
    fill_example(page)
    open_tab(page, "Compare")
    choose_grid(page, "0.5 1 1.5", "5 6")
    compare(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator("#comparison-grid .look-into").last.scroll_into_view_if_needed()  # the grid scrolls, not the page
    box = page.locator("#comparison-grid .lens-frame").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def test_it_speaks_the_person_s_language(open_page: Open) -> None:
    page = open_page(locale="de-DE")
    fill_example(page)
    open_tab(page, "Vergleich")
    expect(page.locator("#comparison-grid .welcome-title")).to_have_text("Hier erscheinen die Bilder nebeneinander")
    expect(page.locator("#compare-summary .summary")).to_have_text("7 Bilder")
    compare(page)
    expect(page.locator("#comparison-grid .variant figcaption").nth(2)).to_have_text("Ohne SE-Refiner")
