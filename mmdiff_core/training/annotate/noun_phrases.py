"""Noun phrases of a caption, found by closed classes of words.

Captions of the usual models are plain ("a black cat sitting next to a dog on a bench"): a phrase starts at a
determiner, or with the caption, and ends before the next word that cannot be part of one. The official tool parses with
spaCy; this needs no model and finds the same in such captions. Both leave out phrases of several things.
"""

from __future__ import annotations

import re

Span = tuple[int, int]

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[^\s\w]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _words("a an the one another this that his her its their my your our")
SEVERAL = _words("two three four five six seven eight nine ten many several some few both all these those multiple")
ENDS = _words(
    "about above across after against along among and around as at before behind below beneath beside between beyond "
    "but by down during for from in inside into like near next of off on onto or out outside over past through to "
    "toward towards under underneath up upon while with within without that which who whose where when "
    "is are was were be been being has have had do does did can could will would "
    "there here it he she they them him i you we not very so then than together away sits sit stands stand lies "
    "lie lays lay walks walk runs run jumps jump looks look holds hold wears wear rides ride eats eat plays play "
    "sleeps sleep rests rest sat stood shows made covered filled surrounded dressed parked seated posed attached "
    "topped decorated"
)
# Words in -ing that are things: they do not end a phrase.
THINGS = _words(
    "building buildings painting painting's ring king wing wings string clothing ceiling railing swing earring "
    "earrings thing something everything bring spring sling morning evening wedding bedding crossing drawing sibling "
    "duckling dumpling pudding seedling gosling viking herring"
)
# Heads that name nothing in the image.
NOT_THINGS = _words(
    "group couple pair bunch number row lot view picture photo photograph image shot close close-up closeup front top "
    "side middle center centre background foreground back left right day night way air scene kind type piece distance "
    "corner edge bottom other one"
)


def noun_phrases(caption: str) -> list[Span]:
    """Return the spans ``caption[start:end]`` of the noun phrases that name one thing, in order."""
    phrases: list[Span] = []
    current: list[re.Match[str]] = []
    for index, match in enumerate(_WORD.finditer(caption)):
        word = match.group().lower()
        opens = word in DETERMINERS or word in SEVERAL
        if opens or _ends(word, len(current)):
            phrases += _finished(current)
            current = []
        if opens or current or (index == 0 and not _ends(word, 2)):
            current.append(match)
    return phrases + _finished(current)


def _ends(word: str, length: int) -> bool:
    """Whether a phrase of ``length`` words ends before this word."""
    if not word[0].isalnum() or word in ENDS:
        return True
    return length > 1 and word.endswith("ing") and word not in THINGS


def _finished(words: list[re.Match[str]]) -> list[Span]:
    """Return the span of these words, or nothing if they name no single thing."""
    texts = [match.group().lower() for match in words]
    if not texts or texts[0] in SEVERAL or texts[-1] in NOT_THINGS or texts[-1] in DETERMINERS:
        return []
    return [(words[0].start(), words[-1].end())]
