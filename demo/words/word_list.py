"""Words that are listed with commas, as those are whose maps a person wants beside the prompt's own."""

from __future__ import annotations

import re
from collections.abc import Collection

from mmdiff_core.encoders.name_matching import WORD, Span, fold, without_blank_edges

_COMMA = re.compile(r"[,;\n，、；]")


def listed_words(text: str) -> tuple[str, ...]:
    """Return the words, or groups of words, that a text lists, each once; what has no word is left out."""
    return tuple({fold(word): word for word in (text[slice(*span)] for span in listed_spans(text))}.values())


def listed_spans(text: str) -> list[Span]:
    """Return the span of every word, or group of words, in a list."""
    spans, start = list[Span](), 0
    for end in (*(comma.start() for comma in _COMMA.finditer(text)), len(text)):
        item = text[start:end]
        bare = without_blank_edges(item)
        if WORD.search(bare):
            begin = start + item.index(bare)
            spans.append((begin, begin + len(bare)))
        start = end + 1
    return spans


def without_items(text: str, items: Collection[Span]) -> str:
    """Return a list without some of its items."""
    return ", ".join(text[slice(*span)] for span in listed_spans(text) if span not in items)
