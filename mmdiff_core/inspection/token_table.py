"""The tokens of a prompt as rows of a table: what each stands for, and which of them make a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from mmdiff_core.encoders.name_matching import Span, occurrences, overlap
from mmdiff_core.encoders.prompt import other_words, token_spans, word_tokens
from mmdiff_core.errors import PromptError
from mmdiff_core.types import Word

# "word" is a word or a piece of one, "sign" punctuation, "others" all words that were not asked for.
TokenKind = Literal["start", "word", "sign", "others", "end", "padding"]
WORD_KINDS: tuple[TokenKind, ...] = ("word", "others")


@dataclass(frozen=True)
class PromptToken:
    """A token of a prompt, or several tokens whose shares are summed."""

    kind: TokenKind
    text: str  # as it stands in the prompt; "<padding>" and so on for what does not
    places: tuple[int, ...]  # in T
    span: Span | None = None  # characters of the prompt


@dataclass(frozen=True)
class TokenTable:
    """Every token of a prompt in exactly one row, so that the shares of the rows add up to one.

    Attributes:
        prompt: as the text encoder got it.
        length: T, the tokens that the text encoder returns.
        tokens: the rows.
        words: the words of the prompt that the text encoder reads, in order.
    """

    prompt: str
    length: int
    tokens: tuple[PromptToken, ...]
    words: tuple[Word, ...]

    @property
    def groups(self) -> Tensor:
        """Return 1 where a token of the text is of a row, float32 (rows, T)."""
        groups = torch.zeros(len(self.tokens), self.length)
        for row, token in enumerate(self.tokens):
            groups[row, list(token.places)] = 1
        return groups

    def rows_of(self, name: str | Word) -> tuple[int, ...]:
        """Return the rows of a word, or of several words in a row; none where the prompt does not have it.

        Args:
            name: as it stands in the prompt, upper and lower case alike, its first occurrence; or one of ``words``.
                ``<start>``, ``<end>`` and ``<padding>`` are those tokens, ``<rest>`` is all that is no word.
        """
        if name == "<rest>":
            return tuple(row for row, token in enumerate(self.tokens) if token.kind not in WORD_KINDS)
        if isinstance(name, Word):
            return self._rows_in((name.start, name.end))
        found = occurrences(self.prompt, name)
        if found:
            return self._rows_in(found[0])
        return tuple(row for row, token in enumerate(self.tokens) if token.span is None and token.text == name)

    @property
    def word_rows(self) -> tuple[int, ...]:
        """Return the rows of all words together."""
        return tuple(row for row, token in enumerate(self.tokens) if token.kind in WORD_KINDS)

    def only(self, words: Sequence[str]) -> TokenTable:
        """Return the table with those words alone in rows of their own; the other words share a row, as signs do."""
        kept = {row for word in words for row in self.rows_of(word)}
        loose = [token for row, token in enumerate(self.tokens) if row not in kept]
        sums = (
            PromptToken("others", "<other words>", _places(loose, "word")),
            PromptToken("sign", "<signs>", _places(loose, "sign")),
        )
        merged = [token for token in sums if token.places]
        special = [token for token in loose if token.kind not in ("word", "sign")]
        rows = [*(self.tokens[row] for row in sorted(kept)), *merged, *special]
        return replace(self, tokens=tuple(sorted(rows, key=lambda token: token.places[0])))

    def _rows_in(self, span: Span) -> tuple[int, ...]:
        return tuple(
            row for row, token in enumerate(self.tokens) if token.span is not None and overlap(token.span, span)
        )


def read_tokens(tokenizer: PreTrainedTokenizerBase, prompt: str, length: int | None = None) -> TokenTable:
    """Return the table of a prompt.

    Args:
        tokenizer: of the (first) text encoder.
        prompt: as the text encoder gets it.
        length: T, where it is known: a multiple of what the tokenizer reads at a time. Blank texts follow a prompt that
            is shorter.

    Raises:
        PromptError: the prompt has more tokens, or T is no multiple.
    """
    limit = int(tokenizer.model_max_length)
    read, spans = token_spans(tokenizer, prompt, 1 if length is None else max(1, length // limit))
    length = read if length is None else length
    if read > length or length % limit:
        raise PromptError(
            f"The encoded prompt has {length} tokens and its text {read}, so that no token can be told from another: "
            "give the text that was encoded."
        )
    words = other_words(prompt, ())
    tokens = [_text_token(place, span, prompt, words) for place, span in spans.items()]
    seen = tuple(word for word in words if any(overlap((word.start, word.end), span) for span in spans.values()))
    tokens += _special_tokens(spans, length, limit)
    return TokenTable(prompt, length, tuple(sorted(tokens, key=lambda token: token.places[0])), seen)


def concept_places(tokenizer: PreTrainedTokenizerBase, name: str) -> list[int]:
    """Return the places, in T, of a concept's own tokens where it is a text of its own.

    Raises:
        PromptError: it has no word.
    """
    places = [place for found in word_tokens(tokenizer, name, other_words(name, ())).values() for place in found]
    if not places:
        raise PromptError(f'The concept "{name}" has no word: write what it should be, such as "dog".')
    return list(dict.fromkeys(places))


def _text_token(place: int, span: Span, prompt: str, words: Sequence[Word]) -> PromptToken:
    in_a_word = any(overlap(span, (word.start, word.end)) for word in words)
    return PromptToken("word" if in_a_word else "sign", prompt[slice(*span)], (place,), span)


def _places(tokens: Sequence[PromptToken], kind: TokenKind) -> tuple[int, ...]:
    return tuple(place for token in tokens if token.kind == kind for place in token.places)


def _special_tokens(spans: dict[int, Span], length: int, limit: int) -> list[PromptToken]:
    """Return start, end and padding; a long prompt has several of each, which are summed."""
    found: dict[TokenKind, list[int]] = {"start": [], "end": [], "padding": []}
    for first in range(0, length, limit):
        free = [place for place in range(first + 1, first + limit) if place not in spans]
        found["start"].append(first)
        found["end"] += free[:1]
        found["padding"] += free[1:]
    return [PromptToken(kind, f"<{kind}>", tuple(places)) for kind, places in found.items() if places]
