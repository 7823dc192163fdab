"""From a person's prompt to tokens: where the words of each subject stand.

A subject's words are found by its name (whole words as people read them, see :mod:`name_matching`; the n-th occurrence
where subjects share a name) or by the trigger ``<|subj|>`` that follows a word, as in the official release.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, groupby, pairwise, takewhile

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
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
from mmdiff_core.nn.records import PromptTokens, TokenWeight
from mmdiff_core.types import Word

logger = logging.getLogger(__name__)

TRIGGER = "<|subj|>"
# The look behind keeps a long run of blanks from being tried at each of its blanks.
TRIGGER_WITH_SPACE = re.compile(r"(?:(?<![ \t])[ \t]+)?" + re.escape(TRIGGER))
MAX_CHUNKS = 8  # texts that a long prompt is read in
_SENTENCE_ENDS, _PHRASE_ENDS = (".</w>",), (".</w>", ",</w>", ";</w>", ":</w>")
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
    pieces = TRIGGER_WITH_SPACE.split(without_invisible_signs(prompt))
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


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    words: Sequence[Word] = (),
    weights: Sequence[float] = (),
    chunks: int = 1,
) -> PromptTokens:
    """Return token ids (1, T) of a prompt without triggers, and the last token of each subject's word (1, S).

    Signs at the end of a name, as in "cat!", are not of its word. An embedding of several vectors, such as textual
    inversion learns, stands for its name with all of them.

    Args:
        tokenizer: of the text encoder, which reads ``tokenizer.model_max_length`` tokens at a time.
        prompt: without triggers and without the signs of weights.
        words: the subjects' words in it.
        weights: of each character, as ``read_weights`` returns them; none: all are 1.
        chunks: how many texts the encoder may read, one after the other, of a long prompt.

    Raises:
        PromptError: a subject's word lies beyond the limit.
    """
    read = _chunked(tokenizer, prompt, chunks)
    spans = {place: span for place, (_, span) in read.tokens.items()}
    _warn_of_truncation(prompt, list(spans.values()))
    places = [_last_token(spans, word) for word in words]
    for word, place in zip(words, places, strict=True):
        if place is None:
            raise PromptError(
                f'The subject "{_shorten(word.text)}" comes too late in the prompt "{_shorten(prompt)}": the text '
                f"encoder reads only the first {read.limit} tokens. Name it earlier or shorten the prompt."
            )
    pieces = [torch.tensor(_pieces(spans, word)) for word in words]
    return PromptTokens(
        ids=read.ids,
        words=torch.tensor([places], dtype=torch.long).reshape(1, len(words)),
        pieces=pad_sequence(pieces, batch_first=True, padding_value=-1)[None] if words else None,
        blank=_chunked(tokenizer, "", 1).ids,
        weighted=tuple(_token_weights(spans, weights)) if any(weight != 1 for weight in weights) else (),
    )


@dataclass(frozen=True)
class _Chunked:
    """A prompt's tokens in texts of the encoder's length."""

    ids: Tensor  # (1, T)
    tokens: Mapping[int, tuple[int, Span]]  # by place in T: id and characters, without start, end and padding
    limit: int  # tokens that are read at most
    whole: int  # tokens of the whole prompt


def _chunked(tokenizer: PreTrainedTokenizerBase, prompt: str, most: int) -> _Chunked:
    """Tokenize a prompt and cut it into at most ``most`` texts."""
    length = tokenizer.model_max_length
    whole = remaining = _vectors(tokenizer, prompt)
    ids: list[int] = []
    placed: dict[int, tuple[int, Span]] = {}
    while not ids or (remaining and len(ids) < most * length):
        cut = _cut(tokenizer, [token for token, _ in remaining[: length - 1]], length - 2) if most > 1 else length - 2
        chunk, remaining = remaining[:cut], remaining[cut:]
        placed |= {len(ids) + 1 + index: token for index, token in enumerate(chunk)}
        ids += [tokenizer.bos_token_id, *(token for token, _ in chunk), tokenizer.eos_token_id]
        ids += [tokenizer.pad_token_id] * (-len(ids) % length)
    return _Chunked(torch.tensor([ids], dtype=torch.long), placed, most * (length - 2), len(whole))


def token_spans(tokenizer: PreTrainedTokenizerBase, prompt: str, chunks: int = 1) -> tuple[int, dict[int, Span]]:
    """Return how many tokens the text encoder gets of a prompt, T, and the characters of each that stands for text.

    The others mark start and end, or are padding. Args as in :func:`tokenize`.
    """
    read = _chunked(tokenizer, prompt, chunks)
    return read.ids.shape[1], {place: span for place, (_, span) in read.tokens.items()}


def _vectors(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[tuple[int, Span]]:
    """Return the id and the characters of every vector that the text encoder reads of a prompt."""
    encoded = tokenizer(prompt, return_offsets_mapping=True, add_special_tokens=False, verbose=False)
    added, found = tokenizer.added_tokens_encoder, []
    for token, span in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        found.append((token, span))
        name = tokenizer.convert_ids_to_tokens(token)
        further = (f"{name}_{number}" for number in count(1)) if name in added else iter(())
        found += [(added[each], span) for each in takewhile(added.__contains__, further)]
    return found


def _cut(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], most: int) -> int:
    """Return how many tokens make the next text: up to a sentence's end, else a phrase's, else a word's."""
    if len(ids) <= most:
        return most
    texts = tokenizer.convert_ids_to_tokens(list(ids[:most]))
    for ends in (_SENTENCE_ENDS, _PHRASE_ENDS, None):
        cuts = [n for n, text in enumerate(texts, 1) if (text.endswith("</w>") if ends is None else text in ends)]
        if cuts:
            return cuts[-1]
    return most


def _token_weights(spans: Mapping[int, Span], weights: Sequence[float]) -> Iterator[TokenWeight]:
    """Yield the runs of tokens with a weight other than 1; a token has that of its first character."""
    for weight, run in groupby(spans.items(), key=lambda token: weights[token[1][0]]):
        if weight != 1:
            yield TokenWeight(tuple(place for place, _ in run), weight)


def pad_chunks(tokens: Sequence[PromptTokens]) -> tuple[PromptTokens, ...]:
    """Return prompts of equal length: blank texts follow those that have fewer."""
    most = max(each.ids.shape[1] for each in tokens)
    padded = []
    for each in tokens:
        assert each.blank is not None
        missing = (most - each.ids.shape[1]) // each.blank.shape[1]
        padded.append(replace(each, ids=torch.cat([each.ids, *[each.blank] * missing], dim=1)))
    return tuple(padded)


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
    read = _chunked(tokenizer, prompt, MAX_CHUNKS)
    end = (
        len(prompt) if len(read.tokens) == read.whole else max((end for _, (_, end) in read.tokens.values()), default=0)
    )
    return PromptReading(end, read.whole, read.limit)


def other_words(prompt: str, words: Sequence[Word]) -> tuple[Word, ...]:
    """Return the words of a prompt without triggers that no subject owns; their ``subject`` is -1."""
    owned = [(word.start, word.end) for word in words]
    spans = [match.span() for match in WORD.finditer(prompt)]
    return tuple(Word(-1, prompt[a:b], a, b) for a, b in spans if not _overlaps((a, b), owned))


def word_tokens(
    tokenizer: PreTrainedTokenizerBase, prompt: str, words: Sequence[Word], chunks: int = 1
) -> dict[Word, tuple[int, ...]]:
    """Return the tokens of each word; words beyond the limit are left out. Args as in :func:`tokenize`."""
    _, spans = token_spans(tokenizer, prompt, chunks)
    places = ((word, _pieces(spans, word)) for word in words)
    return {word: place for word, place in places if place and _last_token(spans, word) is not None}


def _last_token(spans: Mapping[int, Span], word: Word) -> int | None:
    """Return the last token that covers the word's last character."""
    last = _end_of(word)
    covering = [place for place, (start, end) in spans.items() if start < last <= end]
    return covering[-1] if covering else None


def _pieces(spans: Mapping[int, Span], word: Word) -> tuple[int, ...]:
    """Return the tokens that a word consists of."""
    last = _end_of(word)
    return tuple(place for place, (start, end) in spans.items() if start < last and word.start < end)


def _end_of(word: Word) -> int:
    """Return where a word ends, without the signs at its end: a photo belongs on the name, not on a full stop."""
    text = word.text
    while text and unicodedata.category(text[-1])[0] in "PSZ":
        text = text[:-1]
    return word.start + len(text or word.text)


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
