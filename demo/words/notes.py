"""Notes about words, and the changes of a text that they offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.words.spelling import sign_name
from mmdiff_core.encoders.name_matching import Span, overlap
from mmdiff_core.encoders.prompt import TRIGGER


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
    return WordNote("unknown_words", {"words": [shown_word(word) for word in words]}, fixes)


def can_fix(prompt: str) -> bool:
    """Whether fixes fit a prompt as it was typed: triggers would be lost."""
    return TRIGGER not in prompt


def amended_text(text: str, event: Any) -> str | None:
    """Return a text with the change that an event of the page describes; None where the text is another by now."""
    start, was = int(event.start), str(event.was)
    if text[start : start + len(was)] != was:
        return None
    return text[:start] + str(event.text) + text[start + len(was) :]
