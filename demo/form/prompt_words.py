"""The prompt for people: its words as chips, and those of the subjects in their colours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import count, pairwise
from typing import NotRequired, TypedDict

from demo.form.form import Form
from demo.words.note_html import fix_html, notes_html
from demo.words.notes import PromptNotes, can_fix
from demo.words.word_notes import WordReader
from mmdiff_core.encoders.name_matching import (
    WORD,
    distinct_names,
    occurrences,
    without_invisible_signs,
)
from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.encoders.prompt_weights import PlainPrompt
from mmdiff_core.errors import PromptError
from mmdiff_core.maps.heatmap import colour_of
from mmdiff_core.types import Word

_LACKS = escape('["lacks", {}]')  # before the names that a prompt lacks, which are no words of it


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


def chips_html(form: Form, reader: WordReader | None = None) -> str:
    """Return HTML with every word of the prompt as a button, a dashed one for each name that it lacks, and notes.

    A chip carries what the browser needs for its menu: ``data-word``, ``data-slot`` where a subject owns it, and
    ``data-join``, (slot, longer name) pairs of neighbouring subjects that could include it. ``data-nth`` counts words
    of subjects with one name. A button that changes the prompt carries the change as JSON, ``data-fix``. The text of a
    note is a ``data-phrase``, [key, values].
    """
    if not form.prompt:
        return ""
    clean, found = _words(form)
    present = {word.subject for word in found}
    missing = {i: subject.name for i, subject in enumerate(form.subjects) if subject.name and i not in present}
    notes = (reader or WordReader()).read(clean, found, missing)
    cut = _single_words(prompt_pieces(clean, found))
    drawing = _Drawing(form, clean, notes)
    near = "".join(map(drawing.near, notes.near))
    added = "".join(drawing.added(subject, name) for subject, name in missing.items() if not drawing.has_fix(subject))
    lacking = f' <span class="lacking"><span data-phrase="{_LACKS}"></span>{added}</span>' if added else ""
    said = notes.notes if can_fix(form.prompt) else [replace(note, fixes=()) for note in notes.notes]
    listed = notes_html(said, clean, form.slots)
    if form.inspected:  # there is no subject that a word could be linked to
        return listed
    return f'<p class="sentence chips" role="toolbar">{"".join(drawing.words(cut))}{near}{lacking}</p>{listed}'


def marked_html(form: Form) -> str:
    """Return HTML of the prompt with its subjects' words in their colours; empty where there is no prompt."""
    if not form.prompt:
        return ""
    return f'<p class="sentence">{"".join(_marked(piece, form) for piece in form_pieces(form))}</p>'


def form_pieces(form: Form) -> list[PromptPiece]:
    """Return the prompt cut at the words of its subjects."""
    return prompt_pieces(*_words(form))


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
        prompt = without_invisible_signs(form.prompt)
        found = [(i, _find_alone(prompt, name)) for i, name in enumerate(names) if name]
    return prompt, _without_overlaps([Word(i, word.text, word.start, word.end) for i, word in found if word])


def _find_alone(prompt: str, name: str) -> Word | None:
    try:
        return find_words(prompt, [name])[1][0]
    except PromptError:
        return _find_weighed(prompt, name)


def _find_weighed(prompt: str, name: str) -> Word | None:
    """Find a name across the signs of a weight, as "a cat" in "a (cat:1.3)"."""
    plain = _plain(prompt)
    typed = [] if plain is None else [plain.typed(span) for span in occurrences(plain.text, name)]
    return Word(0, prompt[slice(*typed[0])], *typed[0]) if typed else None


def _places_of_weights(prompt: str) -> set[int]:
    plain = _plain(prompt)
    return set() if plain is None else set(range(len(prompt))) - {*plain.places}


def _plain(prompt: str) -> PlainPrompt | None:
    try:
        return PlainPrompt.of(prompt)
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
    return f'<mark{_nth(form, subject)} style="--subject:{colour_of(form.slots[subject])}">{text}</mark>'


def _nth(form: Form, subject: int) -> str:
    """Return the attribute that tells subjects of one name apart."""
    names = [subject.name for subject in form.subjects]
    name, distinct = names[subject], distinct_names(names)[subject]
    return "" if name == distinct else f' data-nth="{distinct[len(name) :].strip()}"'


@dataclass(frozen=True)
class _Drawing:
    """Draws the chips of a form's prompt, without triggers, and the notes about it."""

    form: Form
    prompt: str
    notes: PromptNotes

    def words(self, cut: Sequence[PromptPiece]) -> Iterator[str]:
        """Yield every word as a chip, and what is between them, weights among it, as text."""
        end, weights = 0, _places_of_weights(self.prompt)
        for place, piece in enumerate(cut):
            start, end = end, end + len(piece["text"])
            is_read = _is_word(piece) and start not in weights
            yield self._chip(cut, place, (start, end)) if is_read else escape(piece["text"])

    def has_fix(self, subject: int) -> bool:
        """Whether there is a change that brings the prompt and a name that it lacks together."""
        return subject in self.notes.near and can_fix(self.form.prompt)

    def near(self, subject: int) -> str:
        """Draw the change that brings a name and the prompt together, unless a note offers the very same."""
        fix = self.notes.near[subject]
        offered = {(each.start, each.end, each.text) for note in self.notes.notes for each in note.fixes}
        if not self.has_fix(subject) or (fix.start, fix.end, fix.text) in offered:
            return ""
        return " " + fix_html(fix, self.prompt, self.form.slots, "word unplaced near", self._colour(subject))

    def added(self, subject: int, name: str) -> str:
        """Draw a name that can be added to the prompt."""
        head = f'<button type="button" class="word unplaced" data-add="{escape(name)}"{self._colour(subject)}>'
        return f" {head}{escape(name)}</button>"

    def _colour(self, subject: int) -> str:
        slot = self.form.slots[subject]
        return f' data-slot="{slot}" style="--subject:{colour_of(slot)}"'

    def _chip(self, cut: Sequence[PromptPiece], place: int, span: tuple[int, int]) -> str:
        text, subject = cut[place]["text"], cut[place]["subject"]
        kinds = {"unknown": self.notes.is_unknown(span), "unread": not self.notes.is_read(span)}
        kind = "".join(f" {name}" for name, applies in kinds.items() if applies)
        head = f'<button type="button" class="word{kind}" data-word="{escape(text)}" aria-haspopup="menu"'
        if subject is None:
            joins = escape(json.dumps(list(_joins(cut, place, self.form))))
            return f'{head} data-join="{joins}">{escape(text)}</button>'
        slot, nth = self.form.slots[subject], _nth(self.form, subject)
        return f'{head}{nth} data-slot="{slot}" style="--subject:{colour_of(slot)}">{escape(text)}</button>'


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
