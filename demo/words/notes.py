"""Notes about words, and the changes of a text that they offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from demo.words.spelling import sign_name
from mmdiff_core.encoders.name_matching import Span, fold, overlap
from mmdiff_core.encoders.prompt import TRIGGER
from mmdiff_core.encoders.prompt_weights import PlainPrompt


@dataclass(frozen=True)
class Fix:
    """A change of the prompt that one click makes.

    ``text`` takes the place of the characters from ``start`` to ``end``; ``label`` is on the chip, the key of a text
    where ``is_key``. ``names`` are new names of subjects.
    """

    label: str
    start: int
    end: int
    text: str
    names: Mapping[int, str] = field(default_factory=dict)
    is_key: bool = False


@dataclass(frozen=True)
class WordNote:
    """A sentence, as the key of a text and the values of its gaps, with fixes."""

    key: str
    values: Mapping[str, object]
    fixes: tuple[Fix, ...] = ()


@dataclass(frozen=True)
class PromptNotes:
    """Everything to say about a prompt: spans of ``unknown`` words, where reading ends, and notes.

    ``near`` has, for each subject that the prompt lacks, the fix that brings name and prompt together.
    """

    unknown: tuple[Span, ...] = ()
    read_to: int | None = None
    notes: tuple[WordNote, ...] = ()
    near: Mapping[int, Fix] = field(default_factory=dict)

    def is_unknown(self, span: Span) -> bool:
        """Whether a word has a part that means nothing to the model."""
        return any(overlap(span, other) for other in self.unknown)

    def is_read(self, span: Span) -> bool:
        """Whether the text encoder reads a word to its end."""
        return self.read_to is None or span[1] <= self.read_to


def shown_word(word: str) -> str:
    """Return a word as it is shown: with what it is called, where it is a pictograph."""
    name = sign_name(word)
    return f"{word} ({name})" if name else word


def unknown_note(words: Sequence[str], fixes: tuple[Fix, ...]) -> WordNote:
    """Return a note about words that no known ones are near to."""
    told = {fold(word) or word: shown_word(word) for word in words}  # each once
    return WordNote("unknown_words", {"words": [*told.values()]}, fixes)


def typed_notes(notes: PromptNotes, prompt: str, plain: PlainPrompt, english: Mapping[Span, str]) -> PromptNotes:
    """Return notes about a prompt without the signs of weights for the prompt as it was typed; weights stay.

    Args:
        notes: about ``plain.text``.
        prompt: as it was typed.
        plain: without the signs.
        english: of the parts of a prompt in another language.
    """

    def typed(fix: Fix) -> Fix:
        span = plain.typed((fix.start, fix.end))
        if prompt[slice(*span)] == plain.text[fix.start : fix.end]:
            return replace(fix, start=span[0], end=span[1])
        changed = f"{plain.text[: fix.start]}{fix.text}{plain.text[fix.end :]}"
        is_whole = (fix.start, fix.end) == (0, len(plain.text))
        said = {} if fix.is_key else english if english and is_whole else {(fix.start, fix.end): fix.text}
        text = plain.with_weights(changed, said)
        return replace(fix, label=text if fix.label == changed else fix.label, start=0, end=len(prompt), text=text)

    return PromptNotes(
        tuple(map(plain.typed, notes.unknown)),
        None if notes.read_to is None else plain.typed((0, notes.read_to))[1],
        tuple(replace(note, fixes=tuple(map(typed, note.fixes))) for note in notes.notes),
        {subject: typed(fix) for subject, fix in notes.near.items()},
    )


def can_fix(prompt: str) -> bool:
    """Whether fixes fit a prompt as it was typed: triggers would be lost."""
    return TRIGGER not in prompt


def amended_text(text: str, event: Any) -> str | None:
    """Return a text with the change that an event of the page describes; None where the text is another by now."""
    start, was = int(event.start), str(event.was)
    if text[start : start + len(was)] != was:
        return None
    return text[:start] + str(event.text) + text[start + len(was) :]
