"""From a person's prompt to tokens: where the words of each subject stand.

A subject's words are found by its name (whole words as people read them, see :mod:`name_matching`; the n-th occurrence
where subjects share a name) or by the trigger ``<|subj|>`` that follows a word, as in the official release.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from transformers import PreTrainedTokenizerBase

from mmdiff_core.encoders.name_matching import (
    WORD,
    Span,
    fold,
    occurrences,
    overlap,
    without_blank_edges,
    without_invisible_signs,
)
from mmdiff_core.errors import PromptError
from mmdiff_core.nn.records import PromptTokens
from mmdiff_core.types import Word

logger = logging.getLogger(__name__)

TRIGGER = "<|subj|>"
# The look behind keeps a long run of blanks from being tried at each of its blanks.
_TRIGGER_WITH_SPACE = re.compile(r"(?:(?<![ \t])[ \t]+)?" + re.escape(TRIGGER))
_MAX_SHOWN = 200  # characters of a prompt in a message


def find_words(prompt: str, names: Sequence[str]) -> tuple[str, tuple[Word, ...]]:
    """Return the prompt without triggers, and the words of every subject in it, in the order of the subjects.

    What is invisible leaves the prompt, too: text encoders would read it.

    Longer names choose first, so that "black cat" and "cat" both find theirs. A name that a trigger follows is
    preferred to one without; subjects whose name does not occur take the remaining triggers in order.

    Raises:
        PromptError: the prompt is empty, a subject is not in it, a trigger follows no word, or there are more
            triggers than subjects. The message names the subject and shows the prompt.
    """
    if not without_blank_edges(prompt):
        raise PromptError("The prompt is empty: describe the picture and name each subject in it.")
    clean, marks = _remove_triggers(prompt)
    claimed = _claim_by_name(clean, names, marks)
    missing = [subject for subject in range(len(names)) if subject not in claimed]
    loose = [mark for mark in marks if not _overlaps(mark, claimed.values())]
    if len(loose) < len(missing):
        raise PromptError(_not_found(prompt, names, missing[len(loose)]))
    if len(loose) > len(missing):
        start, end = loose[len(missing)]
        raise PromptError(
            f'"{clean[start:end]}" is marked with {TRIGGER} but there is no subject left for it: '
            f'the prompt "{_shorten(prompt)}" has more triggers than the {len(names)} subject(s).'
        )
    claimed |= zip(missing, loose, strict=True)
    spans = (claimed[subject] for subject in range(len(names)))
    return clean, tuple(Word(subject, clean[start:end], start, end) for subject, (start, end) in enumerate(spans))


def _claim_by_name(text: str, names: Sequence[str], marks: Sequence[Span]) -> dict[int, Span]:
    """Return the words of every subject whose name stands in the text; no two subjects share any."""
    claimed: dict[int, Span] = {}
    for subject in sorted(range(len(names)), key=lambda subject: -len(fold(names[subject]))):
        free = [span for span in occurrences(text, names[subject]) if not _overlaps(span, claimed.values())]
        marked = [span for span in free if _overlaps(span, marks)]
        if free:
            claimed[subject] = (marked or free)[0]
    return claimed


def _remove_triggers(prompt: str) -> tuple[str, list[Span]]:
    """Return the prompt without triggers, and the span of the word that each marks (a doubled trigger counts once)."""
    pieces = _TRIGGER_WITH_SPACE.split(without_invisible_signs(prompt))
    clean, positions = pieces[0], []
    for _, piece in pairwise(pieces):
        positions.append(len(clean))
        clean += piece
    marks: list[Span] = []
    words = [match.span() for match in WORD.finditer(clean)]
    for position in positions:
        before = bisect_left(words, (position, 0))
        if not before:
            raise PromptError(
                f'{TRIGGER} must follow the word of a subject, but starts the prompt "{_shorten(prompt)}".'
            )
        if words[before - 1] not in marks[-1:]:
            marks.append(words[before - 1])
    return clean, marks


def _overlaps(span: Span, others: Iterable[Span]) -> bool:
    return any(overlap(span, other) for other in others)


def _not_found(prompt: str, names: Sequence[str], subject: int) -> str:
    name, shown = without_blank_edges(names[subject]), _shorten(prompt)
    if not name:
        return f'Subject {subject + 1} has no name: give it the words that stand for it in the prompt "{shown}".'
    times = sum(fold(other) == fold(name) for other in names)
    if times > 1:
        return (
            f'{times} subjects are named "{_shorten(name)}", but the prompt "{shown}" does not name it {times} times.'
        )
    return f'The subject "{_shorten(name)}" is not in the prompt "{shown}": write its name there as it stands.'


def _shorten(text: str) -> str:
    """Shorten a text for messages."""
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} …"


def tokenize(tokenizer: PreTrainedTokenizerBase, prompt: str, words: Sequence[Word] = ()) -> PromptTokens:
    """Return token ids (1, T) of a prompt without triggers, and the last token of each subject's word (1, S).

    Raises:
        PromptError: a subject's word lies beyond the tokenizer's limit.
    """
    encoded = tokenizer(
        prompt,
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_offsets_mapping=True,
    )
    offsets: list[Span] = encoded["offset_mapping"]
    _warn_of_truncation(prompt, offsets)
    places = [_last_token(offsets, word) for word in words]
    for word, place in zip(words, places, strict=True):
        if place is None:
            raise PromptError(
                f'The subject "{_shorten(word.text)}" comes too late in the prompt "{_shorten(prompt)}": the text '
                f"encoder reads only the first {tokenizer.model_max_length - 2} tokens. Name it earlier or shorten the "
                "prompt."
            )
    ids = torch.tensor([encoded["input_ids"]], dtype=torch.long)  # (1, T)
    return PromptTokens(ids, torch.tensor([places], dtype=torch.long).reshape(1, len(words)))


@dataclass(frozen=True)
class PromptReading:
    """How much of a prompt the text encoders read: its characters up to ``end``, ``tokens`` of at most ``limit``."""

    end: int
    tokens: int
    limit: int


def read_length(tokenizers: Sequence[PreTrainedTokenizerBase], prompt: str) -> PromptReading | None:
    """Return how much of a prompt without triggers every one of the text encoders reads; None without any.

    ``tokens`` are those of the whole prompt, without the two that mark its start and end.
    """
    readings = [_read_length(tokenizer, prompt) for tokenizer in tokenizers]
    return min(readings, key=lambda reading: reading.end, default=None)


def _read_length(tokenizer: PreTrainedTokenizerBase, prompt: str) -> PromptReading:
    offsets: list[Span] = tokenizer(
        prompt, return_offsets_mapping=True, add_special_tokens=False, verbose=False
    )["offset_mapping"]  # fmt: skip
    limit = tokenizer.model_max_length - 2
    end = len(prompt) if len(offsets) <= limit else offsets[limit - 1][1]
    return PromptReading(end, len(offsets), limit)


def other_words(prompt: str, words: Sequence[Word]) -> tuple[Word, ...]:
    """Return the words of a prompt without triggers that no subject owns; their ``subject`` is -1."""
    owned = [(word.start, word.end) for word in words]
    spans = [match.span() for match in WORD.finditer(prompt)]
    return tuple(Word(-1, prompt[a:b], a, b) for a, b in spans if not _overlaps((a, b), owned))


def word_tokens(tokenizer: PreTrainedTokenizerBase, prompt: str, words: Sequence[Word]) -> dict[Word, int]:
    """Return the last token of each word; words beyond the tokenizer's limit are left out."""
    encoded = tokenizer(
        prompt, truncation=True, max_length=tokenizer.model_max_length, return_offsets_mapping=True
    )  # fmt: skip
    places = ((word, _last_token(encoded["offset_mapping"], word)) for word in words)
    return {word: place for word, place in places if place is not None}


def _last_token(offsets: Sequence[Span], word: Word) -> int | None:
    """Return the last token that covers the word's last character; special tokens cover none."""
    covering = [i for i, (start, end) in enumerate(offsets) if start < word.end <= end]
    return covering[-1] if covering else None


def _warn_of_truncation(prompt: str, offsets: Sequence[Span]) -> None:
    unread = prompt[max((end for _, end in offsets), default=0) :].strip()
    if unread:  # how much, not what: the log is not for people's words
        logger.warning("The text encoder does not see the last %d characters of the prompt.", len(unread))


def stack_tokens(prompts: Sequence[PromptTokens]) -> PromptTokens:
    """Stack prompts for one text encoder into a batch; prompts with fewer subjects are padded with -1."""
    subjects = max(tokens.words.shape[1] for tokens in prompts)
    ids = torch.cat([tokens.ids for tokens in prompts])
    words = [torch.nn.functional.pad(t.words, (0, subjects - t.words.shape[1]), value=-1) for t in prompts]
    return PromptTokens(ids, torch.cat(words))
