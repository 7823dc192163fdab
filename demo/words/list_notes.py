"""What is said about words that are listed beside a prompt, so that they get maps, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from demo.words.notes import Fix, WordNote
from demo.words.translator import Translation
from demo.words.word_list import listed_spans, without_items
from demo.words.word_notes import MAX_FIXES, MAX_NOTES, MAX_UNKNOWN, WordReader, shown_word
from mmdiff_core.encoders.name_matching import Span, occurrences, overlap


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
        shown = ", ".join(shown_word(listed[slice(*item)]) for item in rest)
        yield WordNote("unknown_words", {"words": shown}, (_left_out(listed, rest),))


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
