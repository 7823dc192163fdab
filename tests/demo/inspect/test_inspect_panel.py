"""The prompt alone: what the fields become, and what a record puts into them."""

from __future__ import annotations

import gradio as gr
import pytest

from demo.form.form import MAX_CONCEPTS, Form, SubjectForm
from demo.form.validation import errors_on_submit, errors_while_typing, field_error_of
from demo.inspect.inspect_panel import PROMPT_ALONE, PROMPTS, WIDE_WORLD_PROMPTS, WITH_PHOTOS, InspectPanel
from demo.server.limits import local_limits
from demo.web.i18n import texts_of
from demo.words.word_notes import WordReader
from mmdiff_core.errors import PromptError
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD
from mmdiff_core.types import Size

SIZES = Size((256, 256), 128, 384, 64)
FORM = Form("a cat", (SubjectForm(0, "cat", ()),), rejected=((0, "no photo"),))


@pytest.fixture
def panel() -> InspectPanel:
    panel = InspectPanel(FIRST_WORLD)
    with gr.Blocks():
        panel.render_mode()
        panel.render()
    return panel


def test_the_prompt_alone_leaves_the_cards_out(panel: InspectPanel) -> None:
    assert panel.applied(FORM, {panel.mode: WITH_PHOTOS, panel.concepts: "dog"}) == FORM
    form = panel.applied(FORM, {panel.mode: PROMPT_ALONE, panel.concepts: " dog, Dog，sky; ! ,"})
    assert (form.inspected, form.subjects, form.rejected, form.concepts) == (True, (), (), ("Dog", "sky"))
    request = form.request(local_limits())
    assert (request.prompt, request.subjects) == ("a cat", ())
    assert form.fingerprint != FORM.fingerprint


def test_what_is_wrong_is_said_beside_its_field(panel: InspectPanel) -> None:
    empty = Form("", (), inspected=True)
    (missing,) = [error for error in errors_on_submit(empty, SIZES) if error.severity == "lacking"]
    assert (missing.place, missing.text) == (
        "prompt",
        "The prompt is empty: describe the picture, or choose an example.",
    )
    with pytest.raises(PromptError, match="describe the picture, or choose"):
        empty.request()
    many = Form("a cat", (), inspected=True, concepts=tuple(f"word {n}" for n in range(MAX_CONCEPTS + 1)))
    with pytest.raises(PromptError, match=f'"word {MAX_CONCEPTS}" is one further word too many') as raised:
        many.request(local_limits())
    assert field_error_of(raised.value, many).place == "concepts"


def test_too_many_words_are_told_while_they_are_typed() -> None:
    words = tuple(f"word {n}" for n in range(MAX_CONCEPTS + 2))
    errors = errors_while_typing(Form("a cat", (), inspected=True, concepts=words), SIZES)
    (error,) = [error for error in errors if error.place == "concepts"]
    assert error.text == "There are 10 words, and at most 8 can have maps: leave out “word 8, word 9”."
    fine = Form("a cat", (), inspected=True, concepts=words[:MAX_CONCEPTS])
    assert "concepts" not in [error.place for error in errors_while_typing(fine, SIZES)]
    for language in ("en", "de", "es", "zh"):
        assert str(MAX_CONCEPTS) in texts_of(language)["concepts_info"]


def test_a_note_changes_the_words(panel: InspectPanel) -> None:
    values = {panel.concepts: "chess, dog"}
    assert "data-fix" in panel.notes_update(values, "a cat").value
    assert panel.notes_update({panel.concepts: "dog"}, "a cat").value == ""
    change = {"start": 0, "was": "chess", "text": "frog"}
    assert panel._amend(gr.EventData(None, change), "chess, dog") == "frog, dog"
    assert panel._amend(gr.EventData(None, change), "ches, dog") == gr.skip()


def test_a_record_decides_what_the_picture_was_made_from(panel: InspectPanel) -> None:
    alone = panel.restore({"subjects": [], "concepts": "dog"})
    assert alone == {panel.mode: PROMPT_ALONE, panel.concepts: "dog"}
    assert panel.restore({"subjects": [{"name": "cat"}]}) == {panel.mode: WITH_PHOTOS}
    assert panel.restore({"subjects": [{"name": ""}], "mode": PROMPT_ALONE}) == {panel.mode: PROMPT_ALONE}
    assert panel.restore({"mode": "else", "concepts": 3}) == {}


def test_examples_are_of_the_loaded_model(panel: InspectPanel) -> None:
    assert panel._pick(gr.EventData(None, {"index": 1})) == PROMPTS[1]
    reader = WordReader(FIRST_WORLD)
    assert all(reader.knows(prompt) and reader.knows(concepts) for prompt, concepts in PROMPTS)
    assert InspectPanel(None).prompts == WIDE_WORLD_PROMPTS
