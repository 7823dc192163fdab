"""The prompt for people: its words as chips, and those of the subjects in their colours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from itertools import count, pairwise
from typing import NotRequired, TypedDict

from demo.form.form import Form
from mmdiff_core.encoders.name_matching import WORD, occurrences
from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.errors import PromptError
from mmdiff_core.maps.heatmap import colour_of
from mmdiff_core.types import Word


class PromptPiece(TypedDict):
    """A part of the prompt; ``subject`` is None between the subjects' words, ``word`` counts the other words."""

    text: str
    subject: int | None
    word: NotRequired[int]


def prompt_pieces(prompt: str, words: Sequence[Word]) -> list[PromptPiece]:
    """Cut a prompt without triggers at the words of its subjects."""
    cut: list[PromptPiece] = []
    end = 0
    for word in sorted(words, key=lambda word: word.start):
        cut += [{"text": prompt[end : word.start], "subject": None}, {"text": word.text, "subject": word.subject}]
        end = word.end
    cut.append({"text": prompt[end:], "subject": None})
    return [piece for piece in cut if piece["text"]]


def numbered_words(cut: Sequence[PromptPiece]) -> list[PromptPiece]:
    """Return the pieces with every other word as a piece of its own that has its number."""
    single = _single_words(cut)
    numbers = count()
    return [
        piece if piece["subject"] is not None or not _is_word(piece) else {**piece, "word": next(numbers)}
        for piece in single
    ]


def found_subjects(form: Form) -> frozenset[int]:
    """Return which of the form's subjects are in its prompt."""
    return frozenset(word.subject for word in _words(form)[1])


def chips_html(form: Form) -> str:
    """Return HTML with every word of the prompt as a button, and a dashed one for each name that the prompt lacks.

    A chip carries what the browser needs for its menu: ``data-word``, ``data-slot`` where a subject owns it, and
    ``data-join``, (slot, longer name) pairs of neighbouring subjects that could include it.
    """
    if not form.prompt:
        return ""
    clean, found = _words(form)
    cut = _single_words(prompt_pieces(clean, found))
    drawn = "".join(_chip(cut, i, form) if _is_word(piece) else escape(piece["text"]) for i, piece in enumerate(cut))
    present = {word.subject for word in found}
    missing = [subject for i, subject in enumerate(form.subjects) if subject.name and i not in present]
    dashed = "".join(_dashed_chip(subject.slot, subject.name) for subject in missing)
    return f'<p class="sentence chips" role="toolbar">{drawn}{dashed}</p>'


def marked_html(form: Form) -> str:
    """Return HTML of the prompt with its subjects' words in their colours; empty where there is no prompt."""
    if not form.prompt:
        return ""
    return f'<p class="sentence">{"".join(_marked(piece, form) for piece in form_pieces(form))}</p>'


def form_pieces(form: Form) -> list[PromptPiece]:
    """Return the prompt cut at the words of its subjects."""
    return prompt_pieces(*_words(form))


def add_word(prompt: str, name: str) -> str:
    """Return the prompt with a subject's name at its end."""
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return f"{prompt.rstrip(' .,;')} and {article} {name}"


def count_word(prompt: str, name: str) -> int:
    """Count how often a name is in a prompt as whole words."""
    return len(occurrences(prompt, name))


# ---------------------------------------------------------------- reading


def _words(form: Form) -> tuple[str, tuple[Word, ...]]:
    """The prompt without triggers and all words where all are found, else those that are found alone."""
    names = [subject.name for subject in form.subjects]
    try:
        return find_words(form.prompt, names)
    except PromptError:
        found = [(i, _find_alone(form.prompt, name)) for i, name in enumerate(names) if name]
    return form.prompt, _without_overlaps([Word(i, word.text, word.start, word.end) for i, word in found if word])


def _find_alone(prompt: str, name: str) -> Word | None:
    try:
        return find_words(prompt, [name])[1][0]
    except PromptError:
        return None


def _without_overlaps(words: Sequence[Word]) -> tuple[Word, ...]:
    """Of words that overlap keep the longer one; of equal ones the first."""
    kept: list[Word] = []
    for word in sorted(words, key=lambda word: word.start - word.end):
        if all(word.end <= other.start or other.end <= word.start for other in kept):
            kept.append(word)
    return tuple(kept)


# ---------------------------------------------------------------- drawing


def _single_words(cut: Sequence[PromptPiece]) -> list[PromptPiece]:
    """The pieces with every word between the subjects' as a piece of its own."""
    single: list[PromptPiece] = []
    for piece in cut:
        parts = [piece["text"]] if piece["subject"] is not None else _cut_at_words(piece["text"])
        single += [{"text": part, "subject": piece["subject"]} for part in parts if part]
    return single


def _cut_at_words(text: str) -> list[str]:
    """Return the words of a text and what is between them."""
    places = sorted({0, len(text), *(place for match in WORD.finditer(text) for place in match.span())})
    return [text[start:end] for start, end in pairwise(places)]


def _is_word(piece: PromptPiece) -> bool:
    return piece["subject"] is not None or WORD.fullmatch(piece["text"]) is not None


def _marked(piece: PromptPiece, form: Form) -> str:
    text, subject = escape(piece["text"]), piece["subject"]
    if subject is None:
        return text
    return f'<mark style="--subject:{colour_of(form.slots[subject])}">{text}</mark>'


def _chip(cut: Sequence[PromptPiece], place: int, form: Form) -> str:
    text, subject = cut[place]["text"], cut[place]["subject"]
    head = f'<button type="button" class="word" data-word="{escape(text)}" aria-haspopup="menu"'
    if subject is None:
        joins = escape(json.dumps(list(_joins(cut, place, form))))
        return f'{head} data-join="{joins}">{escape(text)}</button>'
    slot = form.slots[subject]
    return f'{head} data-slot="{slot}" style="--subject:{colour_of(slot)}">{escape(text)}</button>'


def _joins(cut: Sequence[PromptPiece], place: int, form: Form) -> Iterator[tuple[int, str]]:
    """Each subject right beside a word, with the name that it would have together with the word."""
    for step in (-1, 1):
        beside = place + 2 * step
        if not 0 <= beside < len(cut) or not cut[place + step]["text"].isspace():
            continue
        subject = cut[beside]["subject"]
        if subject is not None:
            both = cut[min(place, beside)], cut[max(place, beside)]
            yield form.slots[subject], " ".join(piece["text"] for piece in both)


def _dashed_chip(slot: int, name: str) -> str:
    return (
        f' <button type="button" class="word unplaced" data-add="{escape(name)}" data-slot="{slot}"'
        f' style="--subject:{colour_of(slot)}">{escape(name)}</button>'
    )
