"""Looking into a finished picture, and keeping it, in Chromium against the stand-in model."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from demo.viewer.history import HistoryEntry
from demo.web.static_files import static
from mmdiff_core.output.export import png_info
from mmdiff_core.types import GenerateRequest, Subject
from tests.browser.page import (
    PHONE,
    Open,
    fill_example,
    generate,
    open_settings,
    overlay,
    set_pictures,
    set_range,
)
from tests.helpers.stand_in import StandIn


@pytest.fixture
def inspected(open_page: Open) -> Page:
    """A page with a finished picture of a cat and a robot."""
    page = open_page()
    fill_example(page)
    generate(page)
    return page


def test_every_control_changes_the_heatmap_without_the_server(inspected: Page) -> None:
    page, requests = inspected, []
    page.on("request", lambda request: requests.append(request.url))
    seen = [overlay(page)]
    set_range(page, "#result .threshold", 60)
    expect(page.locator("#result .threshold-text")).to_have_text("60%")
    seen.append(overlay(page))
    expect(page.locator("#result .outline-help")).to_contain_text("60%")
    page.locator("#result .outline").uncheck()
    seen.append(overlay(page))
    for palette in ("Viridis", "Inferno"):
        page.locator("#result .palettes label", has_text=palette).click()
        seen.append(overlay(page))
    page.locator("#result .sizes").select_option("32 × 32")
    page.locator("#result .layouts label", has_text="On top").click()
    expect(page.locator("#result .bare-box")).to_be_hidden()
    assert len(set(seen)) == len(seen)
    assert requests == []


def test_the_values_read_are_those_of_the_maps(inspected: Page) -> None:
    """The browser's mean over steps against the one in Python, at the middle of a pixel of the cat's map."""
    page = inspected
    seed = int(page.locator("#result .facts").text_content().split()[1])
    subjects = tuple(Subject(name, (Image.new("RGB", (8, 8)),)) for name in ("cat", "robot"))
    *_, last = StandIn().generate(GenerateRequest("a cat next to a robot", subjects, seeds=(seed,)))
    expected = last.finished.maps.at("cat", "image")
    page.locator("#result .heatmap-box").scroll_into_view_if_needed()
    box = page.locator("#result .heatmap-box").bounding_box()
    row, column = 20, 9
    spot = {
        "x": (column + 0.5) / expected.shape[1] * box["width"],
        "y": (row + 0.5) / expected.shape[0] * box["height"],
    }
    page.locator("#result .heatmap-box").hover(position=spot)
    read = page.locator("#result .reading").text_content().split("cat ")[1].split("%")[0]
    assert float(read) == pytest.approx(100 * expected[row, column], abs=0.3)


def test_the_arrow_keys_read_the_values_too(inspected: Page) -> None:
    page, frame, readout = inspected, inspected.locator("#result .heatmap-box"), inspected.locator("#result .reading")
    expect(readout).to_have_attribute("aria-live", "polite")
    frame.focus()
    page.keyboard.press("ArrowRight")
    expect(readout).to_contain_text("cat ")
    middle = readout.text_content()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowDown")
    expect(frame.locator(".point")).to_have_attribute("style", re.compile("left: 20%; top: 52%"))
    box = frame.bounding_box()
    by_key = readout.text_content()
    assert by_key != middle
    frame.hover(position={"x": 0.2 * box["width"], "y": 0.52 * box["height"]})
    expect(frame.locator(".point")).to_be_hidden()
    expect(readout).to_have_text(by_key)
    page.mouse.move(0, 0)
    expect(readout).to_be_empty()
    expect(page.locator("#result .readout")).to_contain_text("arrow keys")


def test_a_picture_that_is_looked_at_stays_while_others_are_made(inspected: Page, model: StandIn) -> None:
    page = inspected
    older = page.locator("#result .facts").text_content()
    set_pictures(page, 2)
    with model.held(2, 3):
        page.locator("#generate").click()
        expect(page.locator("#result .thumb")).to_have_count(3)  # in the making, the first of two, the older one
        page.locator("#result .thumb").last.click()
        expect(page.locator("#result .facts")).to_have_text(older)
        page.locator("#result .chip", has_text="cat").focus()
    expect(page.locator("#generate")).to_be_visible()
    expect(page.locator("#result .chip", has_text="cat")).to_be_focused()  # nothing of it was drawn anew
    expect(page.locator("#result .thumb")).to_have_count(3)
    expect(page.locator("#result .facts")).to_have_text(older)
    expect(page.locator("#result .thumb").last).to_have_attribute("aria-pressed", "true")


def test_without_other_words_there_is_no_word_to_click(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    generate(page)
    expect(page.locator("#result .word-help")).to_be_visible()
    page.locator("#prompt textarea").fill("cat robot")
    expect(page.locator("#chips .word")).to_have_count(2)
    page.locator("#generate").click()
    expect(page.locator("#result .sentence")).to_have_text("cat robot")
    expect(page.locator("#generate")).to_be_visible()
    expect(page.locator("#result .word-help")).to_be_hidden()


def test_any_other_word_of_the_prompt_has_a_map(inspected: Page) -> None:
    page, requests = inspected, []
    page.on("request", lambda request: requests.append(request.url))
    subjects = overlay(page)
    words = page.locator("#result .sentence .other-word")
    expect(words).to_have_text(["a", "next", "to", "a", "on", "the", "beach"])
    words.last.click()
    expect(words.last).to_have_attribute("aria-pressed", "true")
    expect(words.last).to_be_focused()
    expect(page.locator("#result .chip[data-subject][aria-pressed=true]")).to_have_count(0)  # no subject is shown now
    expect(page.locator("#result .scales b")).to_have_text(["beach"])
    expect(page.locator("#result .strip-names span")).to_have_text(["preview", "beach"])
    assert overlay(page) != subjects
    box = page.locator("#result .heatmap-box").bounding_box()
    page.locator("#result .heatmap-box").hover(position={"x": 0.92 * box["width"], "y": 0.5 * box["height"]})
    expect(page.locator("#result .reading")).to_contain_text("beach 30.0%")  # of seven bands the last one
    words.last.click()
    page.mouse.move(0, 0)
    assert overlay(page) == subjects
    assert requests == []


def test_a_layer_and_a_head_can_be_looked_at_alone(inspected: Page) -> None:
    page = inspected
    heads = page.locator("#result .heads")
    expect(heads).to_be_disabled()
    box = page.locator("#result .heatmap-box").bounding_box()
    spot = {"x": 0.25 * box["width"], "y": 0.6 * box["height"]}

    def cat() -> float:
        page.locator("#result .heatmap-box").hover(position=spot)
        return float(page.locator("#result .reading").text_content().split("cat ")[1].split("%")[0])

    both = cat()
    page.locator("#result .sizes").select_option(label="32 × 32, mid")
    expect(heads).to_be_enabled()
    heads.select_option(label="Head 1 of 2")
    assert cat() == pytest.approx(1.5 * both, abs=0.5)
    heads.select_option(label="Head 2 of 2")
    assert cat() == pytest.approx(0.5 * both, abs=0.5)


def test_a_frame_of_the_film_is_a_step(inspected: Page) -> None:
    page = inspected
    films = page.locator("#result .strip-cell")
    expect(films).to_have_count(6)
    average = overlay(page)
    films.last.click()
    expect(page.locator("#result .step-text")).to_have_text("6 of 6")
    expect(page.locator("#result .badge:not(.stale-note)")).to_be_hidden()  # it made the picture
    films.nth(3).click()
    expect(page.locator("#result .step-text")).to_have_text("4 of 6")
    expect(page.locator("#result .badge:not(.stale-note)")).to_have_text("Preview at step 4")
    assert overlay(page) != average
    page.keyboard.press("ArrowRight")
    expect(page.locator("#result .step-text")).to_have_text("5 of 6")
    expect(films.nth(4)).to_be_focused()


def test_play_runs_to_the_last_step(inspected: Page) -> None:
    page = inspected
    play = page.locator("#result .play")
    play.click()
    expect(page.locator("#result .step-text")).to_have_text("6 of 6")
    expect(play).to_have_attribute("aria-label", "Play the steps")
    play.click()  # from the beginning again
    expect(play).to_have_attribute("aria-label", "Pause")
    expect(play).to_have_attribute("aria-label", "Play the steps")
    expect(page.locator("#result .step-text")).to_have_text("6 of 6")


def test_binding_says_what_it_means(inspected: Page) -> None:
    page = inspected
    binding = page.locator("#result .leakage")
    expect(binding.locator(".advice-text")).to_contain_text("attention falls on another")
    expect(binding.locator(".advice-text")).to_be_visible()
    expect(binding.locator(".matrix")).to_be_hidden()
    binding.locator(".figures > summary").click()
    expect(binding.locator("tbody tr")).to_have_count(2)
    own = binding.locator("td.own").all_text_contents()
    assert all(int(share.removesuffix("%")) > 40 for share in own)
    assert binding.locator("td.own").first.get_attribute("title").startswith("The part of the row subject’s attention")
    binding.locator(".how > summary").click()
    expect(binding.locator("dt")).to_have_count(5)


def test_advice_goes_into_the_settings(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    says = [("try_later", {"n": 2}), ("try_strength", {"n": "0.8", "name": "robot"})]
    advice = {"says": says, "change": {"start_step": 2, "strengths": {"1": 0.8}}}
    monkeypatch.setattr("demo.viewer.leakage_advice.advise", lambda _: advice)
    page = open_page()
    fill_example(page)
    generate(page)
    expect(page.locator("#result .advice-text")).to_have_text(
        "Try a delay of 2, so that the words place the subjects first. Try a strength of 0.8 for robot."
    )
    page.locator("#result .apply").click()
    expect(page.locator("#result .apply")).to_be_disabled()
    expect(page.locator("#strength-2 input[type=number]")).to_have_value("0.8")
    expect(page.locator("#strength-1 input[type=number]")).to_have_value("1")
    page.locator("#settings button").first.click()
    expect(page.locator("#start-step input[type=number]")).to_have_value("2")
    seed = page.locator("#result .facts").text_content().split()[1]
    expect(page.locator("#seed input")).to_have_value(seed)
    expect(page.locator("#fresh-seed input")).not_to_be_checked()
    generate(page)
    expect(page.locator("#result .facts")).to_contain_text(f"Seed {seed} ")


def test_one_zip_and_an_animation(inspected: Page, tmp_path: Path) -> None:
    page = inspected
    page.locator("#result .more > summary").click()
    with page.expect_download() as download:
        page.locator("#result .animate[data-format=webp]").click()
    download.value.save_as(tmp_path / "steps.webp")
    with Image.open(tmp_path / "steps.webp") as moving:
        assert moving.n_frames == 7
    page.locator("#result .more > summary").click()
    with page.expect_download():  # the same once more
        page.locator("#result .animate[data-format=webp]").click()
    page.locator("#result .more > summary").click()
    with page.expect_download() as download:
        page.locator("#result .pack").click()
        expect(page.locator("#result .copy-note")).to_contain_text("The file is being made")
    expect(page.locator("#result .pack")).to_be_enabled()
    expect(page.locator("#result .copy-note")).to_be_empty()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as packed:
        assert {"settings.json", "figure.pdf", "reproduce.py"} <= set(packed.namelist())
        assert json.loads(packed.read("settings.json"))["prompt"] == "a cat next to a robot on the beach"


def test_two_people_do_not_get_each_other_s_pictures(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that asks for a name of another session is refused."""
    names: list[str] = []
    zipped = HistoryEntry.zipped
    monkeypatch.setattr(HistoryEntry, "zipped", lambda kept, *how: names.append(how) or zipped(kept, *how))
    one, two = open_page(), open_page()
    for page in (one, two):
        fill_example(page)
        generate(page)
        page.locator("#result .more > summary").click()
    with one.expect_request(lambda request: "queue/join" in request.url and "-0" in (request.post_data or "")) as sent:
        one.locator("#result .pack").click()
    foreign = json.loads(sent.value.post_data)["event_data"]["name"]
    two.route(
        "**/queue/join**",
        lambda route: route.continue_(post_data=json.dumps(_renamed(json.loads(route.request.post_data), foreign))),
    )
    two.locator("#result .pack").click()
    expect(two.locator("[data-testid=toast-body]")).to_contain_text("no longer kept here")
    expect(two.locator("#result .pack")).to_be_enabled()
    assert len(names) == 1


def _renamed(body: dict, name: str) -> dict:
    if body.get("event_data"):
        body["event_data"]["name"] = name
    return body


def _downloaded(page: Page, selector: str, path: Path) -> Path:
    with page.expect_download() as download:
        page.locator(selector).click()
    download.value.save_as(path)
    return path


def test_a_picture_is_saved_larger_and_says_so(inspected: Page, tmp_path: Path) -> None:
    page, sizes = inspected, []
    page.locator("#result .factors").select_option("2")
    for number, selector in enumerate(("#result .save", "#result .save-overlay")):
        with Image.open(_downloaded(page, selector, tmp_path / f"{number}.png")) as picture:
            sizes.append(picture.size)
            assert picture.info["Upscaled"] == "2x"
            assert json.loads(picture.info["mmdiff"])["prompt"] == "a cat next to a robot on the beach"
            assert picture.info["parameters"].startswith("a cat next to a robot on the beach")
    page.locator("#result .factors").select_option("1")
    with Image.open(_downloaded(page, "#result .save", tmp_path / "own.png")) as picture:
        assert sizes == [(2 * picture.width, 2 * picture.height)] * 2
        assert "Upscaled" not in picture.info


def test_a_picture_with_its_heatmap_opens_as_settings(inspected: Page, open_page: Open, tmp_path: Path) -> None:
    file = _downloaded(inspected, "#result .save-overlay", tmp_path / "heat.png")
    seed = inspected.locator("#result .facts").text_content().split()[1]
    page = open_page()
    _drop(page, "#result", file)
    expect(page.locator("#prompt textarea")).to_have_value("a cat next to a robot on the beach")
    open_settings(page)
    expect(page.locator("#seed input")).to_have_value(seed)


def test_a_picture_whose_file_is_gone_is_saved_and_says_what_it_lacks(inspected: Page, tmp_path: Path) -> None:
    gone = """() => {
      window.asked = window.fetch;
      window.fetch = async (url, ...options) =>
        String(url).includes("/file=") ? new Response("gone", { status: 404 }) : window.asked(url, ...options);
    }"""
    inspected.evaluate(gone)  # a real answer of this kind would be an error in the browser's console
    file = _downloaded(inspected, "#result .save-overlay", tmp_path / "heat.png")
    expect(inspected.locator("#result .copy-note")).to_contain_text("Saved without its settings")
    inspected.evaluate("() => void (window.fetch = window.asked)")
    with Image.open(file) as picture:
        assert "Heatmap" in picture.info
        assert "mmdiff" not in picture.info


def test_the_picture_stays_in_sight_of_its_controls(inspected: Page) -> None:
    page = inspected
    for selector in (".opacity", ".threshold", ".sizes", ".step", ".kinds label"):
        control = page.locator(f"#result {selector}").first
        control.scroll_into_view_if_needed()
        control.hover()  # nothing lies over it
        box = page.locator("#result .heatmap-box").bounding_box()
        assert 0 <= box["y"] < box["y"] + box["height"] <= 900


def test_the_heatmap_shows_the_picture_in_grey(inspected: Page) -> None:
    """Its corner, where no subject is, has lost its colour; a peak has one."""
    colourful = """canvas => {
      const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const at = (x, y) => [...data.slice(4 * (y * width + x), 4 * (y * width + x) + 3)];
      const apart = (colour) => Math.max(...colour) - Math.min(...colour);
      return [at(1, 1), at(Math.round(0.25 * width), Math.round(0.6 * canvas.height))].map(apart);
    }"""
    corner, peak = inspected.locator("#result .overlay").evaluate(colourful)
    assert corner <= 1
    assert peak > 60


def test_a_picture_is_used_again_as_settings_and_as_a_photo(inspected: Page) -> None:
    page = inspected
    page.locator("#prompt textarea").fill("something else")
    page.locator("#remove-2").click()
    expect(page.locator("#name-2")).to_be_hidden()
    page.locator("#result .use-settings").click()
    expect(page.locator("#prompt textarea")).to_have_value("a cat next to a robot on the beach")
    expect(page.locator("#name-2 input")).to_have_value("robot")
    expect(page.locator("#photos-2 .grid-container img")).to_have_count(3)
    page.locator("#result .use-photo").click()
    expect(page.locator("#photos-3 .grid-container img")).to_have_count(1)
    expect(page.locator("#seen-3 img")).to_have_count(1)
    expect(page.locator(".undo-what")).to_have_text("The picture is now a photo of subject 3.")
    page.locator(".undo-do").click()
    expect(page.locator("#photos-3")).to_be_hidden()


def test_code_is_copied(inspected: Page) -> None:
    page = inspected
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#result .more > summary").click()
    page.locator("#result .copy[data-copy=shell]").click()
    expect(page.locator("#result .announce")).to_contain_text("Copied")
    menu = page.locator("#result .more-menu")
    expect(menu).to_be_hidden()  # it would cover the line that says what was copied
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.locator("#result .copy-note").click()):
        page.locator("#result .more > summary").click()
        expect(menu).to_be_visible()
        close()
        expect(menu).to_be_hidden()
    assert page.evaluate("navigator.clipboard.readText()").startswith("python -m mmdiff_core generate")


def _saved(path: Path) -> Path:
    settings = {
        "model": "toybox",
        "prompt": "a fox under water",
        "negative_prompt": "dark",
        "subjects": [{"name": "fox", "strength": 0.7, "photos": 2}],
        "seed": 41,
        "steps": 9,
        "guidance": 4.5,
        "start_step": 3,
        "width": 256,
        "height": 256,
    }
    Image.new("RGB", (16, 16)).save(path, pnginfo=png_info(settings))
    return path


def _expect_restored(page: Page) -> None:
    expect(page.locator("#prompt textarea")).to_have_value("a fox under water")
    expect(page.locator("#result .picture")).to_be_visible()  # the picture itself, without maps
    expect(page.locator("#result .sentence")).to_have_text("a fox under water")
    expect(page.locator("#result .facts")).to_contain_text("Seed 41")
    expect(page.locator("#result .more")).to_be_hidden()
    expect(page.locator("#name-1 input")).to_have_value("fox")
    expect(page.locator("#strength-1 input[type=number]")).to_have_value("0.7")
    expect(page.locator(".undo-what")).to_contain_text("its photos are not in the file")
    page.locator("#settings button").first.click()
    expect(page.locator("#seed input").first).to_have_value("41")
    expect(page.locator("#steps input[type=number]")).to_have_value("9")


def test_a_saved_picture_restores_what_made_it(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    with page.expect_file_chooser() as chooser:
        page.locator("#open-picture").click()
    chooser.value.set_files(_saved(tmp_path / "fox.png"))
    _expect_restored(page)


def test_a_picture_saved_here_brings_back_what_made_it(open_page: Open, tmp_path: Path) -> None:
    """Save on one page, restore on another, and what is made there is the same picture."""
    one = open_page()
    fill_example(one)
    one.locator("#settings button").first.click()
    one.locator("#few-steps").click()
    expect(one.locator("#steps input[type=number]")).to_have_value("3")
    generate(one)
    with one.expect_download() as download:
        one.locator("#result .save").click()
    download.value.save_as(tmp_path / "first.png")

    seed = one.locator("#result .facts").text_content().split()[1]

    two = open_page()
    fill_example(two)
    open_settings(two)
    _drop(two, "#result", tmp_path / "first.png")
    expect(two.locator(".undo-what")).to_contain_text("Its maps are means over all steps and layers.")
    two.wait_for_function("() => document.querySelector('#result .picture').complete")
    two.wait_for_timeout(100)  # the heatmap is drawn once the picture is loaded
    assert overlay(two) > 0
    expect(two.locator("#steps input[type=number]")).to_have_value("3")
    expect(two.locator("#seed input")).to_have_value(seed)
    expect(two.locator("#fresh-seed input")).not_to_be_checked()
    generate(two)
    with two.expect_download() as download:
        two.locator("#result .save").click()
    download.value.save_as(tmp_path / "second.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_a_zip_brings_photos_settings_and_the_picture(inspected: Page, open_page: Open, tmp_path: Path) -> None:
    inspected.locator("#result .more > summary").click()
    file = _downloaded(inspected, "#result .pack", tmp_path / "all.zip")
    page = open_page()
    _drop(page, "#result", file, "application/zip")
    expect(page.locator("#prompt textarea")).to_have_value("a cat next to a robot on the beach")
    for number in (1, 2):
        expect(page.locator(f"#photos-{number} .grid-container img")).to_have_count(3)
    expect(page.locator("#result .picture")).to_be_visible()
    expect(page.locator("#result .facts")).to_have_text(str(inspected.locator("#result .facts").text_content()))
    expect(page.locator("#result .more")).to_be_hidden()
    page.locator("#generate").click()  # the same picture again, now with all that belongs to it
    expect(page.locator("#result .more")).to_be_visible()
    expect(page.locator("#generate")).to_be_visible()


def test_another_file_that_is_dropped_on_the_page_is_answered(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    expect(page.locator("#result .welcome-title").first).to_be_visible()
    Image.new("RGB", (16, 16)).save(tmp_path / "holiday.jpg")
    _drop(page, "#result", tmp_path / "holiday.jpg", "image/jpeg")
    expect(page.locator("[data-testid=toast-body]")).to_contain_text('"holiday.jpg" carries no settings')


def test_a_saved_picture_can_be_dropped_on_the_page(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    expect(page.locator("#result .welcome-title").first).to_be_visible()  # its scripts are there
    _drop(page, "#result", _saved(tmp_path / "fox.png"))
    _expect_restored(page)


def _drop(page: Page, selector: str, path: Path, kind: str = "image/png") -> None:
    carried = page.evaluate_handle(
        """([bytes, name, type]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], name, { type }));
          return data;
        }""",
        [list(path.read_bytes()), path.name, kind],
    )
    page.locator(selector).dispatch_event("drop", {"dataTransfer": carried})


def test_a_phone_shows_all_of_it_in_its_width(open_page: Open) -> None:
    page = open_page(**PHONE, locale="de-DE")  # the words are long
    fill_example(page)
    generate(page)
    heatmap, readout = page.locator("#result .heatmap-box"), page.locator("#result .reading")
    heatmap.tap()
    expect(readout).to_contain_text("cat ")  # once the finger is lifted
    expect(heatmap.locator(".point")).to_be_visible()
    page.locator("#result .more > summary").click()
    menu = page.locator("#result .more-menu").bounding_box()
    assert menu["x"] >= 0
    assert menu["x"] + menu["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for selector in (".play", ".chip", ".pack", ".kinds label"):
        assert page.locator(f"#result {selector}").first.bounding_box()["height"] >= 44


def test_a_new_run_shows_the_clearest_kind_there_is(open_page: Open, model: StandIn) -> None:
    """Before the photos join there is the word's map alone."""
    page = open_page()
    fill_example(page)
    with model.held(picture=1, step=2):
        page.locator("#generate").click()
        expect(page.locator("#result .step-line")).to_contain_text("step 1 of 6")
        expect(page.locator("#result .kinds input:checked")).to_have_value("text")
    expect(page.locator("#result .button-row")).to_be_visible()
    expect(page.locator("#result .kinds input:checked")).to_have_value("image")


def test_it_speaks_the_person_s_language(open_page: Open, model: StandIn) -> None:
    page = open_page(locale="de-DE")
    result = page.locator("#result")
    expect(result.locator(".welcome-title")).to_have_text("Hier erscheint dein Bild")
    fill_example(page)
    with model.held(picture=1, step=4):
        page.locator("#generate").click()
        expect(result.locator(".step-line")).to_contain_text("Schritt 3 von 6 · noch ")
    expect(result.locator(".button-row")).to_be_visible()
    expect(result.locator(".save")).to_have_text("Bild speichern")
    expect(result.locator(".pack")).to_have_attribute(
        "title", "Bild, Überlagerungen, Karten, Abbildungen für einen Artikel, Einstellungen"
    )
    expect(result.locator(".facts")).to_contain_text(" · 6 Schritte · ")
    expect(result.locator(".advice-text")).to_contain_text("der Aufmerksamkeit von cat liegt auf cat.")
    expect(result.locator(".matrix thead th")).to_have_text(["Auf cat", "Auf robot", "Anderswo", "Region"])
    expect(result.locator(".pair")).to_contain_text("cat und robot: Überlappung ")
    expect(result.locator(".play")).to_have_attribute("aria-label", "Schritte abspielen")
    result.locator(".strip-cell").nth(3).click()
    expect(result.locator(".badge:not(.stale-note)")).to_have_text("Vorschau bei Schritt 4")
    result.locator(".figures > summary").click()
    expect(result.locator(".heads")).to_have_text("Alle, gemittelt")
    assert result.locator(".other-word").first.get_attribute("title") == "Wo das Modell dieses Wort des Prompts liest."
    english = json.loads(static("web/texts/en.json"))
    german = json.loads(static("web/texts/de.json"))
    shown = set(result.inner_text().splitlines())
    labels = {key: text for key, text in english.items() if "{" not in text and not key.startswith("class_")}
    assert {text for key, text in labels.items() if german[key] != text} & shown == set()
