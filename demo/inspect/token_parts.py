"""What of an inspected prompt has a map: names and rows for the browser, where tokens.js reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypedDict

from mmdiff_core.encoders.name_matching import occurrences, overlap
from mmdiff_core.inspection.token_maps import TokenMaps
from mmdiff_core.inspection.token_table import TokenKind
from mmdiff_core.types import Word

# Of a whole word's pieces each is a part of its own, too; "rest" is all that is no word; a further word that the prompt
# has is read "alone".
PartKind = TokenKind | Literal["piece", "rest", "concept", "alone"]


class TokenPart(TypedDict):
    """What has a map: the sum of the ``rows`` of the packed maps. ``name`` is as it stands in the prompt."""

    kind: PartKind
    name: str
    rows: list[int]


class TokenRecord(TypedDict):
    """Everything that has a map.

    Attributes:
        parts: words with their pieces, signs, special tokens, the rest, and words that are not in the prompt.
        first: the part that is shown at first.
        words: the rows of all words of the prompt.
        count: how many words it has.
        dropped: what could not be kept of the maps, in a sentence.
    """

    parts: list[TokenPart]
    first: int
    words: list[int]
    count: int
    dropped: str


SHORT_WORD = 2  # letters of words such as "a" and "of", with which nobody wants to begin


def token_record(tokens: TokenMaps) -> TokenRecord:
    """Describe everything that has a map."""
    parts = [*_parts_of_text(tokens), *_special_parts(tokens)]
    telling = [i for i, part in enumerate(parts) if part["kind"] == "word" and len(part["name"]) > SHORT_WORD]
    words = list(tokens.table.word_rows)
    return {
        "parts": parts,
        "first": telling[0] if telling else 0,
        "words": words,
        "count": len(tokens.words),
        "dropped": tokens.dropped,
    }


def _parts_of_text(tokens: TokenMaps) -> Iterator[TokenPart]:
    """Yield words, their pieces and signs in the order of the prompt."""
    seen: set[Word] = set()
    for row, token in enumerate(tokens.table.tokens):
        if token.span is None:
            continue
        word = next((w for w in tokens.words if overlap(token.span, (w.start, w.end))), None)
        if word is None:
            yield {"kind": "sign", "name": token.text, "rows": [row]}
        elif word not in seen:
            seen.add(word)
            rows = list(tokens.table.rows_of(word))
            yield {"kind": "word", "name": word.text, "rows": rows}
            for each in rows if len(rows) > 1 else ():
                yield {"kind": "piece", "name": tokens.table.tokens[each].text, "rows": [each]}


def _special_parts(tokens: TokenMaps) -> Iterator[TokenPart]:
    table = tokens.table
    for row, token in enumerate(table.tokens):
        if token.span is None:
            yield {"kind": token.kind, "name": token.text, "rows": [row]}
    yield {"kind": "rest", "name": "<rest>", "rows": list(table.rows_of("<rest>"))}
    for place, concept in enumerate(tokens.concepts):
        kind: PartKind = "alone" if occurrences(tokens.prompt, concept) else "concept"
        yield {"kind": kind, "name": concept, "rows": [len(table.tokens) + place]}
