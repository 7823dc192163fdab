from __future__ import annotations

import gradio as gr

from demo.words.notes import PromptNotes, amended_text, can_fix


def test_a_word_is_unknown_or_unread_by_its_span() -> None:
    notes = PromptNotes(unknown=((2, 8),), read_to=12)
    assert notes.is_unknown((2, 5))
    assert not notes.is_unknown((8, 9))
    assert notes.is_read((9, 12))
    assert not notes.is_read((9, 13))
    assert PromptNotes().is_read((0, 99))


def test_triggers_would_be_lost() -> None:
    assert not can_fix("a cat<|subj|>")
    assert can_fix("a cat")


def test_a_change_is_made_where_the_text_is_still_the_same() -> None:
    event = gr.EventData(None, {"start": 2, "was": "dragon", "text": "cat"})
    assert amended_text("a dragon in space", event) == "a cat in space"
    assert amended_text("a wizard in space", event) is None
