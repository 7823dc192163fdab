"""Notes about words, and the changes that they offer, as HTML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from demo.words.notes import Fix, WordNote


def notes_html(notes: Sequence[WordNote], text: str, slots: Sequence[int] = ()) -> str:
    """Return a list of notes about a text, empty where there is none.

    What a note says is a ``data-phrase``, [key, values], in JSON; a button carries its change, ``data-fix``.

    Args:
        notes: what there is to say.
        text: what their fixes change.
        slots: the card of each subject.
    """
    said = "".join(_note(note, text, slots) for note in notes)
    return f'<ul class="word-notes" role="status">{said}</ul>' if said else ""


def fix_html(fix: Fix, text: str, slots: Sequence[int], css_class: str = "fix", more: str = "") -> str:
    """Return the button of a fix; ``more`` are further attributes."""
    change = {
        "start": fix.start,
        "was": text[fix.start : fix.end],
        "text": fix.text,
        "names": {slots[subject]: name for subject, name in fix.names.items()},
    }
    say = f' data-phrase="{_json([fix.label, {}])}"' if fix.is_key else ""
    label = "" if fix.is_key else escape(fix.label)
    return f'<button type="button" class="{css_class}" data-fix="{_json(change)}"{more}{say}>{label}</button>'


def _note(note: WordNote, text: str, slots: Sequence[int]) -> str:
    buttons = "".join(f" {fix_html(fix, text, slots)}" for fix in note.fixes)
    return f'<li><span data-phrase="{_json([note.key, note.values])}"></span>{buttons}</li>'


def _json(value: object) -> str:
    return escape(json.dumps(value, ensure_ascii=False))
