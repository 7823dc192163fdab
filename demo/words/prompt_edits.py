"""Changes of a prompt that a click makes: a subject, a place, a relation or a style is written into it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from demo.words.english import ARTICLES, with_article
from mmdiff_core.encoders.name_matching import WORD, Span, fold, occurrences, without_blank_edges
from mmdiff_core.toyworld.scenes.known_phrases import KnownPhrases
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD

PhraseKind = Literal["toy", "place", "relation", "style"]
KINDS: tuple[PhraseKind, ...] = get_args(PhraseKind)

_ENGLISH = KnownPhrases(WHOLE_WORLD)  # how English says where something is; models of the real world read it, too
_LOOSE_ENDS = " .,;"


def add_word(prompt: str, name: str) -> str:
    """Return the prompt with one more subject: before the place that it ends with, else at its end."""
    subject = f"another {name}" if occurrences(prompt, name) else with_article(name)
    place = _final_place(prompt)
    before, after = (prompt, "") if place is None else (prompt[:place], prompt[place:])
    before = before.rstrip(_LOOSE_ENDS)
    if not before:
        return f"{subject} {after}".strip()
    link = "" if _ends_with_relation(before) else "and "
    return f"{before} {link}{subject} {after}".strip()


def add_phrase(prompt: str, kind: PhraseKind, phrase: str, known: KnownPhrases) -> str:
    """Return the prompt with a known phrase: a toy is added; of a place, a relation or a style it has one."""
    prompt = without_blank_edges(prompt)
    if kind == "toy":
        return add_word(prompt, phrase)
    if kind == "style":
        return _replaced(prompt, known.style_phrases, phrase) or f"{phrase} {prompt}".strip()
    others = known.background_phrases if kind == "place" else known.relation_phrases
    return _replaced(prompt, others, phrase) or f"{prompt.rstrip(_LOOSE_ENDS)} {phrase}".strip()


def replace_word(prompt: str, old: str, new: str) -> str:
    """Return the prompt with the first of one subject's words in place of another's, with its article."""
    start, end = occurrences(prompt, old)[0]
    before = [match for match in WORD.finditer(prompt, 0, start) if prompt[match.end() : start].isspace()]
    if before and fold(before[-1].group()) in ("a", "an"):
        return f"{prompt[: before[-1].start()]}{with_article(new)}{prompt[end:]}"
    return f"{prompt[:start]}{new}{prompt[end:]}"


def with_subject(prompt: str, old: str, new: str, others: Sequence[str]) -> str:
    """Return the prompt with a subject's new word, in place of its old one where that was named for it alone.

    Args:
        prompt: what is typed.
        old: the word of the subject until now; empty for none.
        new: its word from now on.
        others: the names of the other subjects.
    """
    named = [fold(name) for name in others]
    if len(occurrences(prompt, new)) > named.count(fold(new)):
        return prompt
    if old and len(occurrences(prompt, old)) > named.count(fold(old)):
        return replace_word(prompt, old, new)
    return add_word(prompt, new)


def _replaced(prompt: str, phrases: Iterable[str], phrase: str) -> str:
    """Return the prompt with a phrase in place of the first one of its kind; empty where there is none."""
    found = min(_spans(prompt, phrases), key=lambda span: (span[0], -span[1]), default=None)
    return "" if found is None else f"{prompt[: found[0]]}{phrase}{prompt[found[1] :]}"


def _spans(prompt: str, phrases: Iterable[str]) -> Iterable[Span]:
    return (span for phrase in phrases for span in occurrences(prompt, phrase))


def _final_place(prompt: str) -> int | None:
    """Return where the phrase for a place begins after which no further subject comes; None if there is none."""
    for start, end in sorted(_spans(prompt, _ENGLISH.background_phrases)):
        if start > 0 and not any(fold(match.group()) in ARTICLES for match in WORD.finditer(prompt, end)):
            return start
    return None


def _ends_with_relation(prompt: str) -> bool:
    return any(end == len(prompt) for _, end in _spans(prompt, _ENGLISH.relation_phrases))
