from __future__ import annotations

from demo.form import Form, SubjectForm
from demo.sentence import pieces, reading
from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.heatmap import colour_of


def _form(prompt: str, *names: str) -> Form:
    return Form(prompt, tuple(SubjectForm(i, name, ("x.png",)) for i, name in enumerate(names)))


def test_pieces_give_the_prompt_back() -> None:
    prompt, words = find_words("a black cat next to a cat", ["cat", "black cat"])
    cut = pieces(prompt, words)
    assert "".join(piece["text"] for piece in cut) == prompt
    assert [(piece["text"], piece["subject"]) for piece in cut if piece["subject"] is not None] == [
        ("black cat", 1),
        ("cat", 0),
    ]


def test_words_carry_the_colour_of_their_card() -> None:
    form = Form("a cat", (SubjectForm(3, "cat", ("x.png",)),))
    assert f'<mark style="--subject:{colour_of(3)}">cat</mark>' in reading(form)


def test_what_is_amiss_is_said_beside_the_words_that_were_found() -> None:
    html = reading(_form("a cat on the beach", "cat", "robot"))
    assert ">cat</mark>" in html
    assert "Subject 2, “robot”, is not in the prompt yet." in html
    assert "Subject 1" not in html


def test_a_card_without_name_or_photo_is_named() -> None:
    form = Form("a cat", (SubjectForm(0, "", ("x.png",)), SubjectForm(1, "cat", ())))
    html = reading(form)
    assert "Subject 1 needs a name." in html
    assert "Subject 2, “cat”, needs a photo." in html


def test_nothing_typed_becomes_markup() -> None:
    html = reading(_form("a <b>cat</b> & <script>", "<b>cat</b>", "<i>"))
    assert "<b>" not in html
    assert "<script>" not in html
    assert "<i>" not in html


def test_an_empty_prompt_is_no_fault() -> None:
    assert "lacking" not in reading(Form("", ()))
