"""What a click replaced comes back; what was typed since stays."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from demo.web.undo import MAX_STEPS, Undo


class _Fields:
    """A text, a number and a gallery."""

    def __init__(self) -> None:
        self.undo = Undo()
        with gr.Blocks():
            self.undo.render()
            self.text, self.number, self.photos = gr.Textbox(), gr.Number(), gr.Gallery(type="filepath")
        self.values: dict[Any, Any] = {self.undo.stack: (), self.text: "", self.number: 1, self.photos: None}

    def write(self, update: dict[Any, Any], what: str = "undo_toy") -> dict[str, Any]:
        """Let an event write to the fields; returns the record of the toast."""
        return self._take(self.undo.keep(self.values, update, what))

    def go_back(self) -> dict[str, Any]:
        return self._take(self.undo.last(self.values, [self.text, self.number, self.photos]))

    def _take(self, update: dict[Any, Any]) -> dict[str, Any]:
        toast = update.pop(self.undo.toast, None)
        photos = update.pop(self.photos, self.values[self.photos])
        as_read = [(path, None) for path in photos] if photos and isinstance(photos[0], str) else photos
        self.values |= update | {self.photos: as_read}
        return toast.value if toast else {}


@pytest.fixture
def fields() -> _Fields:
    return _Fields()


def test_what_was_replaced_comes_back_step_by_step(fields: _Fields) -> None:
    fields.write({fields.text: "a cat", fields.photos: ["/cat.png"], fields.number: 1})
    second = fields.write({fields.text: "a dog", fields.photos: ["/dog.png"]}, "undo_example")
    assert (second["what"], second["steps"]) == ("undo_example", 2)
    assert fields.go_back()["steps"] == 1
    assert (fields.values[fields.text], fields.values[fields.photos]) == ("a cat", [("/cat.png", None)])
    assert fields.go_back()["steps"] == 0
    assert (fields.values[fields.text], fields.values[fields.photos]) == ("", None)
    assert fields.go_back()["steps"] == 0  # nothing is left to undo


def test_nothing_is_said_where_nothing_of_a_person_s_was_replaced(fields: _Fields) -> None:
    first = fields.write({fields.text: "a cat", fields.number: 2})
    assert (first["what"], first["steps"]) == ("", 1)
    assert fields.write({fields.text: "a cat", fields.number: 2}) == {}  # nothing changes


def test_a_message_is_said_in_any_case_and_undoes_nothing_where_nothing_was_replaced(fields: _Fields) -> None:
    undo = fields.undo
    said = undo.keep(fields.values, {fields.text: "a cat"}, "undo_settings", said="It is open.")[undo.toast].value
    assert (said["what"], said["said"]) == ("undo_settings", "It is open.")
    same = undo.keep(fields.values, {fields.text: ""}, "undo_settings", said="It is open.")[undo.toast].value
    assert (same["what"], same["said"], same["steps"]) == ("", "It is open.", 0)


def test_a_text_that_was_typed_since_stays(fields: _Fields) -> None:
    fields.values[fields.text] = "my cat"
    fields.write({fields.text: "a toy", fields.number: 5})
    fields.values[fields.text] = "a toy on the moon"
    fields.go_back()
    assert (fields.values[fields.text], fields.values[fields.number]) == ("a toy on the moon", 1)


def test_a_field_that_an_update_leaves_alone_is_not_kept(fields: _Fields) -> None:
    assert fields.write({fields.text: gr.skip(), fields.number: 1}) == {}


def test_only_the_newest_steps_are_kept(fields: _Fields) -> None:
    for number in range(2, MAX_STEPS + 5):
        record = fields.write({fields.number: number})
    assert record["steps"] == MAX_STEPS
