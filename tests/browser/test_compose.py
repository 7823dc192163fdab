"""Subjects, prompt, chips, settings and faults as a person meets them, in Chromium against the stand-in model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.page import PHONE, Open, fill_example, generate, hand_over, open_settings, open_tab
from tests.helpers.stand_in import StandIn


def _owned(page: Page) -> list[tuple[str, str]]:
    """The words that subjects own, with the subject's slot."""
    chips = page.locator("#chips .word[data-slot]:not([data-add])")
    return chips.evaluate_all("chips => chips.map(chip => [chip.textContent, chip.dataset.slot])")


# ------------------------------------------------------------------ chips


def test_a_click_hands_a_word_over_and_typing_keeps_step(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    expect(page.locator("#chips .word[data-slot]")).to_have_text(["cat", "robot"])
    assert _owned(page) == [["cat", "0"], ["robot", "1"]]
    hand_over(page, "beach", "Subject 2")
    expect(page.locator("#name-2 input")).to_have_value("beach")
    expect(page.locator("#chips .word[data-slot='1']")).to_have_text("beach")
    hand_over(page, "beach", "No subject")
    expect(page.locator("#name-2 input")).to_have_value("")
    expect(page.locator("#name-2 .field-error")).to_contain_text("Which word of the prompt do these photos show?")
    page.locator("#name-2 input").fill("robot")
    expect(page.locator("#chips .word[data-slot='1']")).to_have_text("robot")
    expect(page.locator(".field-error")).to_have_count(0)
    page.locator("#prompt textarea").fill("a robot beside a black cat")
    expect(page.locator("#chips .word[data-slot]")).to_have_text(["robot", "cat"])
    hand_over(page, "black", "black cat")  # the neighbour takes it in
    expect(page.locator("#name-1 input")).to_have_value("black cat")
    expect(page.locator("#chips .word[data-slot]")).to_have_text(["robot", "black cat"])


def test_a_word_can_have_a_new_card(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    hand_over(page, "beach", "A new subject")
    expect(page.locator("#name-3 input")).to_have_value("beach")
    expect(page.locator("#seen-3 .field-error")).to_have_text("“beach” has no photo yet: drop one, or take a new toy.")


def test_a_subject_without_a_word_shows_and_its_dashed_chip_writes_it(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    page.locator("#name-2 input").fill("owl")
    expect(page.locator("#name-2 .field-error")).to_have_text("“owl” is not in the prompt yet.")
    page.locator("#chips .unplaced", has_text="owl").click()
    expect(page.locator("#prompt textarea")).to_have_value("a cat next to a robot and an owl on the beach")
    expect(page.locator("#chips .word[data-slot='1']")).to_have_text("owl")
    expect(page.locator(".field-error")).to_have_count(0)


def test_chips_work_by_keyboard(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    page.locator("#chips .word").first.focus()
    page.keyboard.press("ArrowRight")
    chip = page.locator("#chips .word", has_text="cat")
    expect(chip).to_be_focused()
    expect(chip).to_have_attribute("aria-label", "cat, Subject 1")
    page.keyboard.press("Enter")
    expect(page.locator(".word-menu [role=menuitem]").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(chip).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowUp")  # from the first to the last
    page.keyboard.press("Enter")
    expect(page.locator("#name-1 input")).to_have_value("")
    expect(chip).not_to_have_attribute("data-slot", "0")
    expect(chip).to_be_focused()


# ------------------------------------------------------------------ faults


def test_a_fault_stands_beside_its_field_until_it_is_mended(open_page: Open, model: StandIn) -> None:
    page = open_page()
    started = len(model.log)
    page.locator("#generate").click()
    line = page.locator("#field-errors .first-error")
    expect(line).to_contain_text("There is no subject yet")
    expect(page.locator("#seen-1 .field-error")).to_contain_text("There is no subject yet")
    expect(page.locator("#prompt .field-error")).to_contain_text("The prompt is empty")
    expect(page.locator("#prompt textarea")).to_have_attribute("aria-invalid", "true")

    fill_example(page)
    expect(line).to_be_hidden()
    page.locator("#prompt textarea").fill("a cat <3 the beach")
    expect(page.locator("#name-2 .field-error")).to_have_text("“robot” is not in the prompt yet.")
    expect(line).to_be_hidden()  # not before somebody asks
    page.locator("#generate").click()
    expect(line).to_have_text("Subject 2: “robot” is not in the prompt yet.")
    expect(page.locator("#name-2 input")).to_be_focused()
    expect(page.locator("#generate")).to_be_visible()
    expect(page.locator("#prompt textarea")).to_have_value("a cat <3 the beach")
    expect(page.locator("#photos-1 .grid-container img")).to_have_count(3)
    expect(page.locator("[data-testid=toast-body]")).to_have_count(0)
    assert len(model.log) == started

    page.locator("#prompt textarea").fill("a cat and a robot")
    expect(line).to_be_hidden()
    expect(page.locator(".field-error")).to_have_count(0)
    generate(page)


def test_typing_does_not_take_back_what_generate_said(open_page: Open) -> None:
    page = open_page()
    prompt = page.locator("#prompt textarea")
    page.locator("#generate").click()
    expect(page.locator("#prompt .field-error")).to_contain_text("The prompt is empty")
    prompt.fill("a cat")
    expect(page.locator("#prompt .field-error")).to_have_count(0)
    prompt.fill("")  # what is said of the same fields while they are typed is less
    expect(page.locator("#prompt .field-error")).to_contain_text("The prompt is empty")


def test_numbers_out_of_range_are_said_and_hold_generate_back(open_page: Open, model: StandIn) -> None:
    page = open_page()
    fill_example(page)
    open_settings(page)
    started = len(model.log)
    steps = page.locator("#steps input[type=number]")
    steps.fill("500")
    expect(page.locator("#steps .field-error")).to_have_text("Give a number from 1 to 100.")
    page.locator("#generate").click()
    expect(page.locator("#field-errors .first-error")).to_have_text("Steps: Give a number from 1 to 100.")
    expect(steps).to_be_focused()
    steps.fill("")
    expect(page.locator("#steps .field-error")).to_have_text("Give a number from 1 to 100.")
    steps.fill("4")
    expect(page.locator(".field-error")).to_have_count(0)
    delay = page.locator("#start-step input[type=number]")
    delay.fill("5")
    expect(page.locator("#start-step .field-error")).to_contain_text("from 0 to 4, the number of steps; it is 5")
    page.locator("#seed input").fill("-3")
    expect(page.locator("#seed .field-error")).to_contain_text("it is -3")
    assert len(model.log) == started
    delay.fill("1")
    page.locator("#seed input").fill("3")
    expect(page.locator(".field-error")).to_have_count(0)
    expect(page.locator("#fresh-seed input")).not_to_be_checked()
    generate(page)
    expect(page.locator("#result .facts")).to_contain_text("Seed 3 · 4 steps")


def test_a_photo_that_cannot_be_read_is_named_and_the_others_stay(open_page: Open, photo: str, tmp_path: Path) -> None:
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"no picture")
    page = open_page()
    page.locator("#photos-1 input[type=file]").first.set_input_files([photo, str(torn)])
    expect(page.locator("#seen-1 .field-error.note")).to_contain_text("torn.png")
    expect(page.locator("#photos-1 .grid-container img")).to_have_count(1)
    expect(page.locator("#seen-1 img")).to_have_count(1)
    page.locator("#name-1 input").fill("blob")
    page.locator("#prompt textarea").fill("a blob in the snow")
    expect(page.locator("#chips .word[data-slot]")).to_have_text("blob")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#result .button-row")).to_be_visible()


# ------------------------------------------------------------------ settings


def test_a_preset_a_part_switched_off_and_the_last_seed_again(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    open_settings(page)
    expect(page.locator("#reuse")).to_be_disabled()
    delay, note = page.locator("#start-step input[type=number]"), page.locator("#delay-note")
    own = delay.input_value()
    page.locator("#few-steps").click()
    expect(page.locator("#steps input[type=number]")).to_have_value("3")
    expect(note).to_contain_text("Set by “Few steps”")
    page.locator("#usual-steps").click()
    expect(note).to_be_hidden()
    expect(delay).to_have_value(own)
    page.locator("#few-steps").click()
    expect(page.locator("#steps input[type=number]")).to_have_value("3")
    page.locator("#parts").get_by_label("SE-Refiner").uncheck()
    generate(page)
    facts = page.locator("#result .facts")
    expect(facts).to_contain_text("3 steps")
    seed = re.search(r"Seed (\d+)", facts.text_content() or "").group(1)  # type: ignore[union-attr]
    page.locator("#random-seed").click()
    expect(page.locator("#seed input")).not_to_have_value(seed)
    page.locator("#reuse").click()
    expect(page.locator("#seed input")).to_have_value(seed)
    expect(page.locator("#fresh-seed input")).not_to_be_checked()


def test_a_size_that_the_weights_never_saw_stands_behind_a_warning(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    open_settings(page)
    warning, width = page.locator("#size-warning"), page.locator("#width input[type=number]")
    expect(page.locator("#sizes button")).to_have_text("256 × 256")
    expect(page.locator("#model")).to_contain_text("made for 256 × 256 pixels")
    expect(width).to_be_hidden()
    page.locator("#other-sizes > button").click()
    expect(page.locator("#other-sizes")).to_contain_text("These weights were made for 256 × 256.")
    expect(warning).to_be_hidden()
    width.fill("384")
    expect(warning).to_contain_text("At other sizes subjects often double or stretch.")
    open_tab(page, "Compare")
    expect(page.locator("#compare-summary")).to_contain_text("These weights were made for 256 × 256.")
    open_tab(page, "Studio")
    page.locator("#sizes button").click()
    expect(width).to_have_value("256")
    expect(warning).to_be_hidden()
    open_tab(page, "Compare")
    expect(page.locator("#compare-summary .summary")).to_have_text("7 pictures")
    expect(page.locator("#compare-summary")).not_to_contain_text("These weights")


def test_an_error_about_a_size_opens_its_fields(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    open_settings(page)
    page.locator("#other-sizes > button").click()
    height = page.locator("#height input[type=number]")
    height.fill("100")
    expect(page.locator("#height .field-error")).to_be_visible()
    page.locator("#other-sizes > button").click()
    expect(page.locator("#other-sizes > button")).to_have_attribute("aria-expanded", "false")
    page.locator("#settings > button").click()
    page.locator("#generate").click()
    expect(height).to_be_visible()
    expect(height).to_be_focused()


# ------------------------------------------------------------------ what stays


def _photos_are_kept(page: Page, name: str, count: int) -> None:
    """Wait until the browser has taken them in."""
    page.wait_for_function(
        "([name, count]) => JSON.parse(sessionStorage.getItem('mmdiff-studio') ?? '{}')[name]?.length === count",
        arg=[name, count],
    )


def test_from_two_uploads_through_chips_to_a_picture(open_page: Open, model: StandIn, photo: str) -> None:
    page = open_page()
    for number in (1, 2):
        page.locator(f"#photos-{number} input[type=file]").first.set_input_files(photo)
        expect(page.locator(f"#seen-{number} img")).to_have_count(1)
    page.locator("#prompt textarea").fill("a fox and a drum")
    expect(page.locator("#chips .word")).to_have_count(5)
    hand_over(page, "fox", "Subject 1")
    expect(page.locator("#name-1 :is(input, textarea)")).to_have_value("fox")
    hand_over(page, "drum", "Subject 2")
    expect(page.locator("#name-2 :is(input, textarea)")).to_have_value("drum")
    generate(page)
    expect(page.locator("#result .sentence mark")).to_have_text(["fox", "drum"])
    assert [(subject.name, len(subject.photos)) for subject in model.asked[-1].subjects] == [("fox", 1), ("drum", 1)]


def test_a_reload_loses_nothing(open_page: Open, photo: str) -> None:
    page = open_page()
    fill_example(page)
    page.locator("#photos-1 input[type=file]").first.set_input_files(photo)
    expect(page.locator("#seen-1 img")).to_have_count(4)
    page.locator("#prompt textarea").fill("a robot and a cat in the snow")
    expect(page.locator("#chips .word[data-slot]")).to_have_text(["robot", "cat"])
    open_settings(page)
    page.locator("#few-steps").click()
    expect(page.locator("#steps input[type=number]")).to_have_value("3")
    _photos_are_kept(page, "photos-1", 4)
    page.wait_for_function("() => JSON.parse(localStorage.getItem('mmdiff-studio')).steps === 3")

    page.reload()
    expect(page.locator("#prompt textarea")).to_have_value("a robot and a cat in the snow")
    expect(page.locator("#name-2 input")).to_have_value("robot")
    expect(page.locator("#photos-1 .grid-container img")).to_have_count(4)
    expect(page.locator("#chips .word[data-slot]")).to_have_text(["robot", "cat"])
    open_settings(page)
    expect(page.locator("#steps input[type=number]")).to_have_value("3")
    generate(page)


def test_photos_that_the_server_lost_are_told(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    _photos_are_kept(page, "photos-1", 3)
    page.add_init_script(  # before the next page reads it: this one may still write the other subject's photos
        """
        const kept = JSON.parse(sessionStorage.getItem("mmdiff-studio"));
        kept["photos-1"][0] = "/etc/hostname";
        sessionStorage.setItem("mmdiff-studio", JSON.stringify(kept));
        """
    )
    page.reload()
    expect(page.locator("#photos-1 .grid-container img")).to_have_count(2)
    expect(page.locator("#seen-1 .field-error")).to_have_text("1 photo is no longer on the server: drop it again.")


def test_two_tabs_keep_their_own_words(open_page: Open) -> None:
    one = open_page()
    fill_example(one)
    two = one.context.new_page()
    two.goto(one.url)
    expect(two.locator("#prompt textarea")).to_have_value("a cat next to a robot on the beach")  # the page has come
    for page, prompt in ((one, "a robot and a cat on the moon"), (two, "a robot and a cat in the snow")):
        page.locator("#prompt textarea").fill(prompt)
        page.wait_for_function("(prompt) => sessionStorage.getItem('mmdiff-studio')?.includes(prompt)", arg=prompt)
    one.reload()
    expect(one.locator("#prompt textarea")).to_have_value("a robot and a cat on the moon")
    expect(one.locator("#seen-1 img")).to_have_count(3)
    two.reload()
    expect(two.locator("#prompt textarea")).to_have_value("a robot and a cat in the snow")
    expect(two.locator("#seen-1 img")).to_have_count(0)  # photos are a tab's own


# ------------------------------------------------------------------ undo


def _own_subject(page: Page, photo: str) -> None:
    page.locator("#photos-1 input[type=file]").first.set_input_files(photo)
    expect(page.locator("#seen-1 img")).to_have_count(1)
    page.locator("#name-1 input").fill("blob")
    page.locator("#prompt textarea").fill("a blob in the rain")
    expect(page.locator("#chips .word[data-slot]")).to_have_text("blob")


def _is_own_subject(page: Page) -> None:
    expect(page.locator("#seen-1 img")).to_have_count(1)
    expect(page.locator("#photos-1 .grid-container img")).to_have_count(1)
    expect(page.locator("#name-1 input")).to_have_value("blob")
    expect(page.locator("#prompt textarea")).to_have_value("a blob in the rain")
    expect(page.locator("#undo .undo-toast")).to_be_hidden()


@pytest.mark.parametrize("what", ["example", "toy", "remove", "cut"])
def test_what_a_click_replaced_comes_back(open_page: Open, photo: str, what: str) -> None:
    page = open_page()
    _own_subject(page, photo)
    toast = page.locator("#undo .undo-toast")
    source = page.locator("#photos-1 .grid-container img").get_attribute("src")
    for way in ("button", "Control+z"):
        if what == "example":
            page.locator(".example").first.click()
            expect(page.locator("#name-2 input")).to_have_value("robot")
            expect(page.locator("#seen-1 img")).to_have_count(3)
        elif what == "toy":
            page.locator("#random-toy-1").click()
            expect(page.locator("#seen-1 img")).to_have_count(3)
        elif what == "remove":
            page.locator("#remove-1").click()
            expect(page.locator("#seen-1 img")).to_have_count(0)
        else:
            page.locator("#seen-1 [data-cut]").click()
            page.locator("#cutout [data-edge='2']").fill("50")
            page.locator("#cutout .apply").click()
            expect(page.locator("#photos-1 .grid-container img")).not_to_have_attribute("src", source)
        expect(toast).to_be_visible()
        if way == "button":
            toast.get_by_role("button", name="Undo").click()
        else:
            page.keyboard.press(way)
        _is_own_subject(page)
        expect(page.locator("#photos-1 .grid-container img")).to_have_attribute("src", source)
    expect(page.locator("#name-2 input")).to_have_value("")


def test_ctrl_z_in_a_text_field_is_the_field_s(open_page: Open, photo: str) -> None:
    page = open_page()
    _own_subject(page, photo)
    page.locator("#random-toy-1").click()
    expect(page.locator("#undo .undo-toast")).to_be_visible()
    page.locator("#prompt textarea").click()
    page.keyboard.type("!")
    page.keyboard.press("Control+z")
    page.wait_for_timeout(1000)
    expect(page.locator("#seen-1 img")).to_have_count(3)


def test_an_example_in_an_empty_page_needs_no_toast(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    expect(page.locator("#undo .undo-toast")).to_be_hidden()
    page.keyboard.press("Control+z")
    expect(page.locator("#seen-1 img")).to_have_count(0)
    expect(page.locator("#prompt textarea")).to_have_value("")


# ------------------------------------------------------------------ ways in for a photo


def test_a_photo_is_pasted(open_page: Open) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async () => {
          const canvas = new OffscreenCanvas(64, 48);
          canvas.getContext("2d").fillRect(0, 0, 64, 48);
          const blob = await canvas.convertToBlob({ type: "image/png" });
          await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }"""
    )
    page.locator("#photos-1").get_by_label("Paste from clipboard").click()
    expect(page.locator("#seen-1 img")).to_have_count(1)
    expect(page.locator("#seen-1 .field-error")).to_have_count(0)


def test_a_photo_is_taken(open_page: Open) -> None:
    page = open_page()  # in a browser with a made-up camera
    page.locator("#photos-1").get_by_label("Camera", exact=True).click()
    page.locator("#photos-1").get_by_text("Turn on the camera").click()
    page.wait_for_function("() => document.querySelector('#photos-1 video')?.videoWidth > 0")
    page.locator("#photos-1").get_by_label("capture photo").click()
    expect(page.locator("#seen-1 img")).to_have_count(1)
    expect(page.locator("#seen-1 .field-error")).to_have_count(0)
    expect(page.locator("#photos-1 video")).to_have_count(0)  # the camera is off again


@pytest.mark.parametrize("way", ["Escape", "button"])
@pytest.mark.parametrize("number", [1, 2], ids=["photos", "no photos"])
def test_the_camera_can_be_left(open_page: Open, photo: str, number: int, way: str) -> None:
    page = open_page()
    page.locator("#photos-1 input[type=file]").first.set_input_files([photo, photo])
    expect(page.locator("#seen-1 img")).to_have_count(2)
    photos = page.locator(f"#photos-{number}")
    photos.get_by_label("Camera", exact=True).click()
    photos.get_by_text("Turn on the camera").click()
    page.wait_for_function("(n) => document.querySelector(`#photos-${n} video`)?.videoWidth > 0", arg=number)
    tracks = page.evaluate_handle("(n) => document.querySelector(`#photos-${n} video`).srcObject.getTracks()", number)
    if way == "Escape":
        page.keyboard.press("Escape")
    else:
        photos.get_by_role("button", name="Close the camera").click()
    expect(photos.locator("video")).to_have_count(0)
    expect(page.locator("#photos-1 .grid-container img")).to_have_count(2)
    expect(photos.get_by_role("button", name="Close the camera")).to_have_count(0)
    assert tracks.evaluate("tracks => tracks.map((track) => track.readyState)") == ["ended"]
    photos.locator("input[type=file]").first.set_input_files(photo)  # which comes to the others
    expect(page.locator(f"#seen-{number} img")).to_have_count(3 if number == 1 else 1)


_REFUSE = """name => {
  if (name) navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("as browsers do", name));
  else Object.defineProperty(navigator, "mediaDevices", { value: undefined, configurable: true }); // as over http
}"""


def test_the_page_says_why_there_is_no_camera(open_page: Open, photo: str) -> None:
    """And it can be left before it is on, and when it does not come on; the photos and the focus are back then."""
    page = open_page()
    page.locator("#photos-1 input[type=file]").first.set_input_files(photo)
    expect(page.locator("#seen-1 img")).to_have_count(1)
    photos, fault = page.locator("#photos-1"), page.locator(".camera-fault")
    for name, sentence in {
        "NotFoundError": "No camera was found",
        "NotAllowedError": "This page may not use the camera",
        "NotReadableError": "The camera is in use",
        "": "only over https",
    }.items():
        page.evaluate(_REFUSE, name)
        photos.get_by_label("Camera", exact=True).click()
        expect(photos.get_by_text("Turn on the camera")).to_be_in_viewport(ratio=1)
        photos.get_by_text("Turn on the camera").click()
        expect(fault).to_contain_text(sentence)
        page.keyboard.press("Escape")
        expect(photos.locator("video")).to_have_count(0)
        expect(fault).to_have_count(0)
        expect(photos.locator(".grid-container img")).to_have_count(1)
        assert photos.evaluate("(photos) => photos.contains(document.activeElement)")
    photos.get_by_label("Camera", exact=True).click()
    expect(photos.get_by_text("Turn on the camera")).to_be_visible()
    page.keyboard.press("Escape")
    expect(photos.locator("video")).to_have_count(0)


# ------------------------------------------------------------------ languages, phone


@pytest.mark.parametrize(
    ("locale", "button", "menu", "steps", "toys"),
    [
        ("de-DE", "Erzeugen", "Kein Motiv", "normalerweise 6 Schritte", "Toybox, gerenderte Spielzeuge"),
        ("es-MX", "Generar", "Ningún sujeto", "6 pasos por defecto", "Toybox, juguetes renderizados"),
        ("zh-CN", "生成", "不属于任何主体", "默认 6 步", "Toybox，渲染的玩具"),
    ],
)
def test_the_page_speaks_the_browser_s_language(
    open_page: Open, locale: str, button: str, menu: str, steps: str, toys: str
) -> None:
    page = open_page(locale=locale)
    expect(page.locator("#generate")).to_have_text(button)
    fill_example(page)
    page.locator("#chips .word", has_text="cat").click()
    expect(page.locator(".word-menu")).to_contain_text(menu)
    open_settings(page)
    expect(page.locator("#model")).to_contain_text(steps)
    page.locator("#models summary").click()
    expect(page.locator("#models [aria-current]")).to_contain_text(toys)
    assert "__i18n__" not in page.locator("body").inner_text()


def test_words_are_handed_over_on_a_phone(open_page: Open) -> None:
    page = open_page("dark", **PHONE)
    fill_example(page)
    hand_over(page, "beach", "Subject 1")
    expect(page.locator("#name-1 input")).to_have_value("beach")
    small = page.locator("#chips .word").evaluate_all(
        "chips => chips.filter(chip => chip.offsetHeight < 40 || chip.offsetWidth < 24).map(chip => chip.textContent)"
    )
    assert small == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
