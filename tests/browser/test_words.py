"""What the page says about words, and the chips that change them, in Chromium against the stand-in model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from transformers import AutoTokenizer

from tests.browser.page import PHONE, Open, fill_example, generate, open_tab
from tests.helpers.paths import ROOT
from tests.helpers.stand_in import Backbone, StandIn


@pytest.fixture(scope="module")
def model() -> StandIn:
    """Reads as much as the built-in model."""
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "assets/toybox/tokenizer", local_files_only=True)
    return StandIn(backbone=Backbone(tokenizers=(tokenizer,)))


def _write(page: Page, prompt: str, *names: str) -> None:
    page.locator("#prompt textarea").fill(prompt)
    for number, name in enumerate(names, 1):
        page.locator(f"#name-{number} input").fill(name)


def _prompt(page: Page, text: str) -> None:
    expect(page.locator("#prompt textarea")).to_have_value(text)


def test_the_page_says_what_the_model_can_make(open_page: Open) -> None:
    page = open_page()
    expect(page.locator("#toys-note")).to_contain_text("makes toys: cat, dog, rabbit")
    expect(page.locator("#toys-note")).to_contain_text("rocket. It cannot match photos of anything else.")
    german = open_page(locale="de-DE")
    expect(german.locator("#toys-note")).to_contain_text("zeichnet nur Spielzeug: Katze, Hund, Hase")
    expect(german.locator("#known .known").nth(2)).to_have_text("rabbit Hase")


def test_an_unknown_word_is_replaced_with_one_click(open_page: Open) -> None:
    page = open_page()
    _write(page, "a dragon in a castle", "dragon")
    expect(page.locator("#chips .word.unknown")).to_have_text(["dragon", "castle"])
    notes = page.locator(".word-notes li")
    expect(notes).to_have_count(2)
    expect(notes.nth(0)).to_contain_text("The model does not know “dragon”. It knows:")
    notes.nth(1).locator(".fix", has_text="in the forest").click()
    _prompt(page, "a dragon in the forest")
    notes.nth(0).locator(".fix", has_text="rabbit").click()
    _prompt(page, "a rabbit in the forest")
    expect(page.locator("#name-1 input")).to_have_value("rabbit")
    expect(page.locator("#chips .word[data-slot='0']")).to_have_text("rabbit")
    expect(notes).to_have_count(0)


def test_notes_speak_the_browser_s_language_and_the_prompt_becomes_english(open_page: Open) -> None:
    page = open_page(locale="de-DE")
    _write(page, "eine Katze neben einem Elefanten am Strand", "Katze", "Elefant")
    expect(page.locator(".word-notes")).to_contain_text("Das Modell liest Englisch:")
    page.wait_for_timeout(1000)  # until the notes know of the second name, too
    page.locator(".word-notes .fix").click()
    _prompt(page, "a cat next to an elephant on the beach")
    expect(page.locator("#name-2 input")).to_have_value("elephant")
    expect(page.locator("#chips .word[data-slot]")).to_have_text(["cat", "elephant"])
    _write(page, "a wyvern")
    expect(page.locator(".word-notes")).to_contain_text("Das Modell kennt „wyvern“ nicht. Es kennt:")


def test_further_words_are_noted_as_those_of_the_prompt_are(open_page: Open) -> None:
    page = open_page()
    page.locator("#mode label").nth(1).click()
    _write(page, "a cat on the beach")
    field, notes = page.locator("#concepts :is(input, textarea)"), page.locator("#concept-notes li")
    field.fill("chess, rabit, cat, dog")
    expect(notes).to_have_count(3)
    expect(notes.nth(0)).to_contain_text("The model does not know “chess”. It knows:")
    expect(notes.nth(2)).to_contain_text("“cat” is already in the prompt")
    notes.nth(1).get_by_text("rabbit", exact=True).click()
    expect(field).to_have_value("chess, rabbit, cat, dog")
    expect(notes).to_have_count(2)
    notes.nth(0).get_by_text("Leave out").click()
    expect(field).to_have_value("rabbit, cat, dog")
    expect(notes).to_have_count(1)
    page.locator("#prompt textarea").fill("a robot on the beach")
    expect(notes).to_have_count(0)
    field.fill("cat, dog, bear, frog, car, boat, rocket, robot, rabbit, penguin")
    said = "There are 10 words, and at most 8 can have maps: leave out “rabbit, penguin”."
    expect(page.locator("#concepts .field-error")).to_have_text(said)  # before any click


def test_what_the_encoder_does_not_read_is_grey(open_page: Open) -> None:
    page = open_page()
    unread = page.locator("#chips .word.unread")
    _write(page, "a cat next to a robot, " + "in the snow, " * 95 + "on the beach")
    expect(unread.last).to_have_text("beach")
    expect(page.locator("#chips .word").first).not_to_have_class(re.compile("unread"))
    expect(page.locator(".word-notes")).to_contain_text(
        re.compile(r"The last \d+ words are not read: the model reads 368 tokens, and the prompt has 3\d\d\.")
    )
    _write(page, "masterpiece, best quality, ultra-detailed, a cat next to a robot, cinematic lighting, in the snow")
    expect(unread).to_have_count(0)
    row = page.locator("#chips .chips")
    assert row.evaluate("row => row.scrollWidth <= row.clientWidth")  # no chip is cut off at its end
    page.locator(".word-notes .fix", has_text="Leave out").click()
    _prompt(page, "a cat next to a robot, in the snow")
    expect(page.locator(".word-notes")).to_have_count(0)


@pytest.mark.parametrize(
    ("prompt", "name", "after"),
    [
        ("a catt on the beach", "cat", "a cat on the beach"),
        ("a cat on the beach", "catt", "a cat on the beach"),
        ("a cat on the beach", "(cat:1.3)", "a cat on the beach"),
        ("the cats", "cat", "the cat"),
    ],
)
def test_a_name_that_is_nearly_there_needs_one_click(open_page: Open, prompt: str, name: str, after: str) -> None:
    page = open_page()
    _write(page, prompt, name)
    page.locator("#chips .word.near").click()
    _prompt(page, after)
    expect(page.locator("#chips .word[data-slot='0']")).to_have_text("cat")
    expect(page.locator("#name-1 input")).to_have_value("cat")


def test_chips_of_what_the_model_knows_write_a_prompt(open_page: Open) -> None:
    page = open_page()
    known = page.locator("#known")
    steps = [
        ("Toys", "cat", "a cat"),
        ("Relations", "next to", "a cat next to"),
        ("Toys", "elephant", "a cat next to an elephant"),
        ("Places", "in the snow", "a cat next to an elephant in the snow"),
        ("Places", "in space", "a cat next to an elephant in space"),
        ("Relations", "behind", "a cat behind an elephant in space"),
        ("Toys", "cat", "a cat behind an elephant and another cat in space"),
    ]
    for kind, phrase, prompt in steps:
        known.get_by_text(kind, exact=True).click()
        known.locator(".known:visible").get_by_text(phrase, exact=True).click()
        _prompt(page, prompt)


def test_new_toys_write_themselves_into_the_prompt(open_page: Open) -> None:
    page = open_page()
    page.locator("#random-toy-1").click()
    expect(page.locator("#seen-1 img")).to_have_count(3)
    page.locator("#random-toy-2").click()
    expect(page.locator("#seen-2 img")).to_have_count(3)
    expect(page.locator("#chips .word[data-slot]")).to_have_count(2)
    expect(page.locator("#chips .unplaced")).to_have_count(0)
    expect(page.locator(".field-error")).to_have_count(0)
    generate(page)


def test_what_is_lacking_is_a_hint_until_generate_asks_for_it(open_page: Open, photo: str) -> None:
    page = open_page()
    page.locator("#photos-1 input[type=file]").first.set_input_files(photo)
    hint = page.locator("#name-1 .field-error")
    expect(hint).to_have_class("field-error hint")
    expect(page.locator("#name-1 input")).not_to_have_attribute("aria-invalid", "true")
    page.locator("#generate").click()
    expect(hint).to_have_class("field-error lacking")
    expect(page.locator("#name-1 input")).to_have_attribute("aria-invalid", "true")
    _write(page, "a cat in the snow", "cat", "robot")
    expect(page.locator("#name-2 .field-error")).to_have_class("field-error hint")  # new since Generate


def test_a_photo_is_named_after_the_prompt_s_only_toy(open_page: Open, photo: str) -> None:
    page = open_page()
    name = page.locator("#name-1 input")
    expect(name).to_have_attribute("placeholder", "e.g. cat")  # which nobody takes for a name
    expect(page.locator("#prompt textarea")).to_have_attribute("placeholder", re.compile("^e.g. a cat next to"))
    _write(page, "a cat on the beach")
    page.locator("#photos-1 input[type=file]").first.set_input_files(photo)
    expect(name).to_have_value("cat")
    page.locator(".undo-do").click()
    expect(name).to_have_value("")
    hint = page.locator("#name-1 .field-error.hint")
    expect(hint).to_contain_text("Which word of the prompt do these photos show?")
    generate(page)
    expect(name).to_have_value("cat")


def test_a_return_visit_is_not_greeted_with_errors(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    page.wait_for_function("() => localStorage.getItem('mmdiff-studio')?.includes('robot')")
    again = page.context.new_page()
    again.goto(page.url)
    expect(again.locator(".field-error.hint")).to_have_count(2)  # the photos were of the other visit
    expect(again.locator(".field-error:not(.hint)")).to_have_count(0)
    expect(again.locator("[aria-invalid=true]")).to_have_count(0)


def test_two_subjects_of_one_name_are_told_apart(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    _write(page, "a cat next to a cat on the beach", "cat", "cat")
    numbers = page.locator("#chips .word[data-nth]")
    expect(numbers).to_have_count(2)
    assert numbers.evaluate_all("chips => chips.map(chip => chip.dataset.nth)") == ["1", "2"]
    generate(page)
    expect(page.locator("#result .subjects .chip[data-subject]")).to_have_text(["cat 1", "cat 2"])
    expect(page.locator("#result .advice-text")).to_contain_text("of cat 2’s attention")
    expect(page.locator("#result .sentence mark[data-nth='2']")).to_have_text("cat")
    expect(page.locator("#result .matrix tbody th")).to_have_text(["cat 1", "cat 2"])


def test_the_binding_is_not_judged_for_words_that_mean_nothing(open_page: Open) -> None:
    page = open_page()
    fill_example(page)
    _write(page, "a dragon next to a robot on the beach", "dragon")
    expect(page.locator("#chips .word.unknown")).to_have_text("dragon")
    generate(page)
    advice = page.locator("#result .advice-text")
    expect(advice).to_contain_text("The model does not know “dragon”")
    expect(advice).not_to_contain_text("separated")


def test_the_prompt_s_words_are_one_row_on_a_phone(open_page: Open) -> None:
    page = open_page("dark", **PHONE)
    _write(page, "a rabbit to the left of a dragon in the city at night", "rabbit")
    expect(page.locator("#chips .word.unknown")).to_have_text("dragon")
    tops = page.locator("#chips .word").evaluate_all("chips => chips.map(chip => Math.round(chip.offsetTop))")
    assert len(set(tops)) == 1
    faded = page.locator("#chips .chips").evaluate(
        "row => { row.scrollLeft = 9999; return row.getBoundingClientRect(); }"
    )
    last = page.locator("#chips .word").last.bounding_box()
    assert last["x"] + last["width"] <= faded["right"] - 28  # which show that the row goes on
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    small = page.locator(".word-notes .fix, #known .known:visible").evaluate_all(
        "chips => chips.filter(chip => chip.offsetHeight < 44).map(chip => chip.textContent)"
    )
    assert small == []


def test_errors_speak_the_browser_s_language(open_page: Open, tmp_path: Path) -> None:
    """Beside a field, at the photos, on the Compare tab and in a message of Gradio's."""
    page = open_page(locale="de-DE")
    page.locator("#generate").click()
    expect(page.locator(".first-error")).to_have_text(
        "Es gibt noch kein Motiv: Zieh ein Foto herein oder nimm ein neues Spielzeug."
    )
    torn = tmp_path / "zerrissen.png"
    torn.write_bytes(b"not a picture")
    page.locator("#photos-1 input[type=file]").first.set_input_files(torn)
    expect(page.locator("#seen-1 .field-error")).to_contain_text("Ausgelassen: „zerrissen.png“ ist kein lesbares Bild")
    with page.expect_file_chooser() as chooser:
        page.locator("#open-picture").click()
    chooser.value.set_files(torn)
    expect(page.get_by_test_id("toast-text")).to_have_text(
        re.compile("„zerrissen.png“ lässt sich nicht als Bild öffnen")
    )
    open_tab(page, "Vergleich")
    expect(page.locator("#compare-summary .summary")).to_have_text(re.compile("^Im Studio: Es gibt noch kein Motiv"))
