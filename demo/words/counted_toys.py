"""Numbers before toys, as in "two cats": the model makes one toy for each word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from demo.words.english import DETERMINERS, several
from demo.words.notes import Fix, WordNote
from demo.words.spelling import near_words
from mmdiff_core.encoders.name_matching import WORD, Span, fold
from mmdiff_core.toyworld.render.colours import COLOURS
from mmdiff_core.toyworld.scenes.known_phrases import KnownPhrases

_MAX_TOYS = 3  # of a caption
_COUNTS = {"two": 2, "2": 2, "both": 2, "pair": 2, "couple": 2, "three": 3, "3": 3}
_MORE_COUNTS = "four five six seven eight nine ten eleven twelve hundred dozen dozens few several many lots"
_MORE = frozenset(_MORE_COUNTS.split())


@dataclass(frozen=True)
class CountedToys:
    """Several toys of a prompt: their span with the number, that of their noun, and the noun of one of them."""

    span: Span
    noun: Span
    toy: str
    phrases: tuple[str, ...]  # that name each of them, of which the model makes as many

    def note(self, prompt: str, names: Mapping[int, str]) -> WordNote:
        """Return a note that offers the phrases; ``names`` are the new ones of subjects that stand for the toys."""
        fixes = tuple(Fix(phrase, *self.span, phrase, names) for phrase in self.phrases)
        return WordNote("counted_toys", {"word": prompt[slice(*self.span)]}, fixes)

    def each_named(self, prompt: str, fix: Fix) -> Fix:
        """Return the fix that brings a name and these toys together: where it changes the prompt, it names each."""
        if fold(fix.text) != self.toy:
            return fix
        phrase = self.phrases[0]
        return Fix(f"{prompt[slice(*self.span)]} → {phrase}", *self.span, phrase, fix.names)


def is_number(word: str) -> bool:
    """Whether a word says how many there are of something."""
    plain = fold(word)
    return plain in _COUNTS or plain in _MORE or (plain.isdecimal() and int(plain) > 1)


def counted_toys(prompt: str, known: KnownPhrases) -> Iterator[CountedToys]:
    """Yield the toys with numbers before them, such as "two red robots" and "a pair of cats"."""
    words = list(WORD.finditer(prompt))
    plain = [fold(word.group()) for word in words]
    for at, word in enumerate(words):
        if not is_number(word.group()):
            continue
        first = at + 1 + (plain[at + 1 : at + 2] == ["of"])
        noun = next((i for i in range(first, len(words)) if plain[i] not in COLOURS), len(words))
        start = at - (at > 0 and plain[at - 1] in DETERMINERS)
        blanks = (prompt[words[i].end() : words[i + 1].start()] for i in range(start, min(noun, len(words) - 1)))
        if noun == len(words) or not all(blank.isspace() for blank in blanks):
            continue
        toys = [toy for toy in near_words(plain[noun], known.class_words) if " " not in toy]
        if toys:
            name, count = " ".join((*plain[first:noun], toys[0])), _COUNTS.get(plain[at])
            phrases = tuple(several(name, n) for n in ([count] if count else range(2, _MAX_TOYS + 1)))
            yield CountedToys((words[start].start(), words[noun].end()), words[noun].span(), toys[0], phrases)
