"""The prompt as a person reads it: the subjects' words in their colours, and what is still amiss."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TypedDict

from demo.form import Form
from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.errors import PromptError
from mmdiff_core.heatmap import colour_of
from mmdiff_core.types import Word


class Piece(TypedDict):
    """A part of the prompt; ``subject`` is None between the subjects' words."""

    text: str
    subject: int | None


def pieces(prompt: str, words: Sequence[Word]) -> list[Piece]:
    """Cut a prompt without triggers at the words of its subjects."""
    cut: list[Piece] = []
    end = 0
    for word in sorted(words, key=lambda word: word.start):
        cut += [{"text": prompt[end : word.start], "subject": None}, {"text": word.text, "subject": word.subject}]
        end = word.end
    cut.append({"text": prompt[end:], "subject": None})
    return [piece for piece in cut if piece["text"]]


def reading(form: Form) -> str:
    """HTML: the prompt with the words that were found, and one line per subject that still lacks something."""
    if not form.prompt:
        return _hints(_lacking(form, ())) or '<p class="hint">The words of your subjects light up here.</p>'
    clean, found = _words(form)
    marked = "".join(_mark(piece, form.slots) for piece in pieces(clean, found))
    return f'<p class="sentence">{marked}</p>' + _hints(_lacking(form, [word.subject for word in found]))


def _words(form: Form) -> tuple[str, tuple[Word, ...]]:
    """All words where all are found, else those that are found each alone."""
    names = [subject.name for subject in form.subjects]
    try:
        return find_words(form.prompt, names)
    except PromptError:
        found = [(i, _alone(form.prompt, name)) for i, name in enumerate(names) if name]
    return form.prompt, tuple(Word(i, word.text, word.start, word.end) for i, word in found if word)


def _alone(prompt: str, name: str) -> Word | None:
    try:
        return find_words(prompt, [name])[1][0]
    except PromptError:
        return None


def _lacking(form: Form, found: Sequence[int]) -> list[str]:
    lines = []
    for i, subject in enumerate(form.subjects):
        if not subject.name:
            lines.append(f"Subject {subject.slot + 1} needs a name.")
        elif not subject.photos:
            lines.append(f"Subject {subject.slot + 1}, “{subject.name}”, needs a photo.")
        elif form.prompt and i not in found:
            lines.append(f"Subject {subject.slot + 1}, “{subject.name}”, is not in the prompt yet.")
    return lines


def _hints(lines: Sequence[str]) -> str:
    return "".join(f'<p class="hint lacking">{escape(line)}</p>' for line in lines)


def _mark(piece: Piece, slots: Sequence[int]) -> str:
    if piece["subject"] is None:
        return escape(piece["text"])
    return f'<mark style="--subject:{colour_of(slots[piece["subject"]])}">{escape(piece["text"])}</mark>'
