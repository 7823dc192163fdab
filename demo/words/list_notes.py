"""Words that are listed beside a prompt, with commas, so that they get maps, too, and what is said about them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from demo.words.notes import Fix, WordNote, shown_word, unknown_note
from demo.words.translator import Translation
from demo.words.word_notes import MAX_FIXES, MAX_NOTES, MAX_UNKNOWN, WordReader
from mmdiff_core.encoders.name_matching import WORD, Span, fold, occurrences, overlap, without_blank_edges

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


def list_notes(reader: WordReader, listed: str, prompt: str) -> tuple[WordNote, ...]:
    """Return what there is to say about listed words: that they mean nothing, or are in the prompt already.

    Fixes change the list.

    Args:
        reader: knows what the model reads.
        listed: the words, with commas between.
        prompt: that they are listed beside.
    """
    items = listed_spans(listed)
    twice = [item for item in items if occurrences(prompt, listed[slice(*item)])]
    return (*_unknown_notes(reader, listed, items, prompt), *_twice_notes(listed, twice))


def _unknown_notes(reader: WordReader, listed: str, items: Sequence[Span], prompt: str) -> Iterator[WordNote]:
    unknown = list(reader.unknown(listed))[:MAX_UNKNOWN]
    if reader.known is None or not unknown:
        return
    if (translation := _translation(reader, listed, items, unknown)) is not None:
        fix = Fix(translation.text, 0, len(listed), translation.text)
        yield WordNote("reads_english", {}, (fix,))
        unknown = [span for span in unknown if not any(overlap(span, other) for other in translation.words)]
    strange = [item for item in items if any(overlap(item, span) for span in unknown)]
    for item in strange[:MAX_NOTES]:
        near = reader.spelled(listed[slice(*item)], listed)
        free = [toy for toy in reader.known.classes if not occurrences(f"{prompt}, {listed}", toy)]
        fixes = [Fix(new, *item, new) for new in near or free[:MAX_FIXES]]
        key = "near_word" if near else "unknown_word"
        yield WordNote(key, {"word": shown_word(listed[slice(*item)])}, (*fixes, _left_out(listed, [item])))
    if rest := strange[MAX_NOTES:]:
        yield unknown_note([listed[slice(*item)] for item in rest], (_left_out(listed, rest),))


def _translation(reader: WordReader, listed: str, items: Sequence[Span], unknown: Sequence[Span]) -> Translation | None:
    """Return a list in English; words whose English the model does not know either stay as they are."""
    whole = reader.translator.translate_list(listed, items, unknown)
    strange = [] if whole is None else [span for span, said in whole.words.items() if not reader.knows(said)]
    rest = [span for span in unknown if not any(overlap(span, other) for other in strange)]
    return reader.translator.translate_list(listed, items, rest) if strange else whole


def _twice_notes(listed: str, twice: Sequence[Span]) -> Iterator[WordNote]:
    for item in twice:
        yield WordNote("in_the_prompt", {"word": listed[slice(*item)]}, (_left_out(listed, [item]),))


def _left_out(listed: str, items: Sequence[Span]) -> Fix:
    return Fix("leave_words_out", 0, len(listed), without_items(listed, items), is_key=True)
