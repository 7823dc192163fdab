from __future__ import annotations

import json
import re
from html import unescape

from demo.form.form import Form, SubjectForm
from demo.form.prompt_words import chips_html, count_word, found_subjects, marked_html, prompt_pieces
from demo.words.word_notes import WordReader
from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.maps.heatmap import colour_of
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD


def _form(prompt: str, *names: str) -> Form:
    return Form(prompt, tuple(SubjectForm(i, name, ("x.png",)) for i, name in enumerate(names)))


def _drawn(form: Form) -> list[dict[str, str]]:
    """The chips as the browser reads them: attributes, and the label under "text"."""
    buttons = re.findall(r"<button ([^>]*)>([^<]*)</button>", chips_html(form))
    return [
        {key: unescape(value) for key, value in re.findall(r'([\w-]+)="([^"]*)"', head)} | {"text": unescape(label)}
        for head, label in buttons
    ]


def test_pieces_give_the_prompt_back() -> None:
    prompt, words = find_words("a black cat next to a cat", ["cat", "black cat"])
    cut = prompt_pieces(prompt, words)
    assert "".join(piece["text"] for piece in cut) == prompt
    assert [(piece["text"], piece["subject"]) for piece in cut if piece["subject"] is not None] == [
        ("black cat", 1),
        ("cat", 0),
    ]


def test_every_word_is_a_chip_and_marks_between_them_are_not() -> None:
    form = _form("a cat, a robot and don't-know!", "cat")
    assert [chip["text"] for chip in _drawn(form)] == ["a", "cat", "a", "robot", "and", "don't-know"]
    assert re.sub(r"<[^>]*>", "", unescape(chips_html(form))) == form.prompt


def test_a_chip_carries_the_colour_of_its_card_and_plain_ones_none() -> None:
    form = Form("a black cat", (SubjectForm(3, "black cat", ("x.png",)),))
    plain, owned = _drawn(form)
    assert (owned["text"], owned["data-slot"], owned["style"]) == ("black cat", "3", f"--subject:{colour_of(3)}")
    assert "data-slot" not in plain
    assert "style" not in plain


def test_a_word_beside_a_subject_can_join_it() -> None:
    joins = {
        chip["text"]: json.loads(chip["data-join"])
        for chip in _drawn(_form("one black cat, white", "cat"))
        if "data-join" in chip
    }
    assert joins == {"one": [], "black": [[0, "black cat"]], "white": []}  # a comma is between


def test_a_name_that_the_prompt_lacks_is_a_dashed_chip() -> None:
    form = _form("a cat on the beach", "cat", "robot")
    assert [chip["data-add"] for chip in _drawn(form) if "data-add" in chip] == ["robot"]
    words, lacking = unescape(chips_html(form)).split('<span class="lacking"><span data-phrase="["lacks", {}]">')
    assert ("robot" in words, "robot" in lacking) == (False, True)  # it is no word of the prompt, and that is said
    assert "lacking" not in chips_html(_form("a cat", "cat"))
    assert found_subjects(form) == {0}


def test_two_subjects_of_one_name_share_no_word() -> None:
    form = _form("a cat", "cat", "cat")
    assert found_subjects(form) == {0}
    assert sum(chip["text"] == "cat" for chip in _drawn(form)) == 2  # one found, one dashed


def test_words_of_subjects_with_one_name_are_numbered() -> None:
    chips = _drawn(_form("a cat, a Cat and a dog", "cat", "CAT", "dog"))
    assert [(chip["text"], chip.get("data-nth")) for chip in chips if "data-slot" in chip] == [
        ("cat", "1"),
        ("Cat", "2"),
        ("dog", None),
    ]


def test_marks_of_one_name_are_numbered() -> None:
    assert re.findall(r'data-nth="(\d)"', marked_html(_form("a cat and a cat", "cat", "cat"))) == ["1", "2"]
    assert "data-nth" not in marked_html(_form("a cat and a dog", "cat", "dog"))


def test_chips_say_what_the_model_does_not_know_and_notes_offer_what_it_does() -> None:
    html = chips_html(_form("a dragon in space", "dragon"), WordReader(FIRST_WORLD))
    assert re.findall(r'class="(word[^"]*)" data-word="(\w+)"', html)[1] == ("word unknown", "dragon")
    (phrase,) = re.findall(r'data-phrase="([^"]*)"', html)
    assert json.loads(unescape(phrase)) == ["unknown_word", {"word": "dragon"}]
    fixes = [json.loads(unescape(fix)) for fix in re.findall(r'data-fix="([^"]*)"', html)]
    assert fixes[0] == {"start": 0, "was": "a dragon", "text": "a cat", "names": {"0": "cat"}}


def test_a_name_that_is_nearly_there_is_a_chip_that_brings_both_together() -> None:
    form = _form("a catt", "cat")
    (chip,) = [chip for chip in _drawn(form) if "data-fix" in chip]
    assert (chip["text"], chip["data-slot"]) == ("cat → catt", "0")
    assert not [chip for chip in _drawn(form) if "data-add" in chip]
    marked = _drawn(_form("a catt<|subj|> and a dog", "cat", "owl"))
    assert not [chip for chip in marked if "data-fix" in chip]  # triggers would be lost


def test_a_name_is_found_across_the_signs_of_a_weight() -> None:
    form = _form("a (cat:1.3) in the snow", "a cat")
    assert found_subjects(form) == {0}
    assert [chip["text"] for chip in _drawn(form)] == ["a (cat", "in", "the", "snow"]
    assert found_subjects(_form("a (cat:99)", "a cat")) == frozenset()
    assert [chip["text"] for chip in _drawn(_form("a (cat:1.3) in 1", "cat"))] == ["a", "cat", "in", "1"]


def test_a_change_is_offered_once() -> None:
    html = chips_html(_form("two cats", "cat"), WordReader(FIRST_WORLD))
    assert html.count("data-fix") == 1
    assert "data-add" not in html


def test_invisible_signs_do_not_shift_the_chips() -> None:
    drawn = _drawn(_form("a\u200b cat and a dog", "cat", "owl"))
    assert [chip["text"] for chip in drawn] == ["a", "cat", "and", "a", "dog", "owl"]


def test_nothing_typed_becomes_markup() -> None:
    html = chips_html(_form('a <b>cat</b> & "quoted" <script>', "<b>cat</b>", '"><i>'))
    assert not re.search(r"<(?!/?(?:button|p|span)\b)", html)
    strange = chips_html(_form('a <b>"dragon\'s" in <i>', "x"), WordReader(FIRST_WORLD))
    assert not re.search(r"<(?!/?(?:button|p|ul|li|span)\b)", strange)
    assert {chip["data-add"] for chip in _drawn(_form("a cat", '"><i>')) if "data-add" in chip} == {'"><i>'}


def test_an_empty_prompt_has_no_chips() -> None:
    assert chips_html(_form("", "cat")) == ""


def test_words_are_counted_whole() -> None:
    assert count_word("a cat, a Cat and a caterpillar", "cat") == 2
    assert count_word("a cat", "") == 0
