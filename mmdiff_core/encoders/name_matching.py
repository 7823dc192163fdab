"""Where a name stands in a text, as people read it: by signs and words of Unicode, not by code points.

Two texts are alike if they differ only in case, compatibility forms, invisible characters, blanks, or the shape of
apostrophes and hyphens: "STRASSE" and "straße", "cat’s" and "cat's", "ｃａｔ" and "cat".
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import regex

Span = tuple[int, int]

# A word, with what is invisible inside, or a pictograph with the signs that decide what it looks like.
WORD = regex.compile(
    r"(?!\p{DI})\w[\w\p{DI}]*(?:['’‐‑-][\w\p{DI}]+)*|(?=\p{Extended_Pictographic}|\p{Emoji_Presentation})\X"
)

_SIGN = regex.compile(r"\X")  # what people see as one character, such as a letter with its accents
_INVISIBLE = regex.compile(r"\p{Default_Ignorable_Code_Point}+")
_BLANK_EDGES = regex.compile(r"^[\s\p{DI}]+|[\s\p{DI}--\p{Variation_Selector}]+$", regex.V1)
_IN_A_WORD = regex.compile(r"[\w-]")
# Of scripts that are written without spaces, and pictographs: they may touch other words.
_FREE_STANDING = regex.compile(
    r"[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{Line_Break=SA}\p{Extended_Pictographic}]"
)
# What keyboards and word processors write for an apostrophe and a hyphen; Unicode keeps them apart.
_STRAIGHT = str.maketrans(dict.fromkeys("‘’ʼʹ′´`＇", "'") | dict.fromkeys("‐‑−", "-"))

_ALIKE = 0.75  # of difflib's ratio: "catts" is near "cat", "car" and "bat" are not
_SAME_STEM = 4  # letters at the start of "puppy" and "puppies"
_MAX_ENDING = 3  # letters that an ending adds
_MAX_WORDS = 200  # of a text in which a near one is sought


@dataclass(frozen=True)
class FoldedText:
    """A text for comparison, and where its signs begin and end in the original.

    ``starts`` and ``ends`` map places in ``folded`` to places in the original.
    """

    folded: str
    starts: dict[int, int]
    ends: dict[int, int]

    @classmethod
    def of(cls, text: str) -> FoldedText:
        """Fold a text sign by sign."""
        folded, starts, ends = "", {}, {}
        for sign in _SIGN.finditer(text):
            piece = _fold_sign(sign.group())
            if not piece or (piece == " " == folded[-1:]):
                continue
            starts[len(folded)] = sign.start()
            folded += piece
            ends[len(folded)] = sign.end()
        return cls(folded, starts, ends)

    def find(self, folded_name: str) -> Iterator[Span]:
        """Yield the spans, in the original, of a folded name that stands here as whole words."""
        at = self.folded.find(folded_name)
        while at >= 0:
            end = at + len(folded_name)
            whole = at in self.starts and end in self.ends and self._is_edge(at) and self._is_edge(end)
            if whole:
                yield self.starts[at], self.ends[end]
            at = self.folded.find(folded_name, end if whole else at + 1)

    def _is_edge(self, place: int) -> bool:
        """Whether no word goes on across a place."""
        around = self.folded[max(place - 1, 0) : place + 1] if 0 < place < len(self.folded) else ""
        return not around or bool(_FREE_STANDING.search(around)) or not all(map(_IN_A_WORD.match, around))


def overlap(one: Span, two: Span) -> bool:
    """Whether two spans share a character."""
    return one[0] < two[1] and two[0] < one[1]


def fold(text: str) -> str:
    """Return a text for comparison: alike texts become equal. Empty where nothing of it is visible."""
    return FoldedText.of(text).folded.strip()


def without_blank_edges(text: str) -> str:
    """Return a text without blanks and invisible characters at its ends."""
    kept: str = _BLANK_EDGES.sub("", text)
    return kept


def without_invisible_signs(text: str) -> str:
    """Return a text without signs of which nothing is visible, such as a zero-width space or a soft hyphen.

    Joiners and selectors inside a sign stay: they decide what it looks like.
    """
    kept: str = _SIGN.sub(lambda sign: "" if _INVISIBLE.fullmatch(sign.group()) else sign.group(), text)
    return kept


def occurrences(text: str, name: str) -> list[Span]:
    """Return where a name stands in a text as whole words.

    No sign is matched inside another, such as a woman inside a woman astronaut. An end of the name in a script without
    spaces may touch other letters: "猫" stands in "一只猫在海滩上".
    """
    folded = fold(name)
    return list(FoldedText.of(text).find(folded)) if folded else []


def nearest_span(text: str, name: str, taken: Iterable[Span] = ()) -> Span | None:
    """Return the words of a text that are written almost as a name: "cats", "catt" or "(cat:1.3)" for "cat".

    Args:
        text: a prompt.
        name: what is not in it.
        taken: spans that may not be part of the answer.

    Returns:
        The first of the nearest; None where none is near.
    """
    words, wanted = [match.span() for match in WORD.finditer(text)][:_MAX_WORDS], _letters(name)
    count, used = len(wanted.split()), list(taken)
    spans = [(words[i][0], words[i + count - 1][1]) for i in range(len(words) - count + 1)] if count else []
    free = [span for span in spans if not any(overlap(span, other) for other in used)]
    rated = [(likeness(_letters(text[start:end]), wanted), -start, (start, end)) for start, end in free]
    best = max(rated, default=None)
    return best[2] if best and best[0] > 0 else None


def likeness(one: str, two: str) -> float:
    """Return how alike two folded words are, up to 1; 0 where they are not near each other."""
    stem = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    inflected = stem >= _SAME_STEM and max(len(one), len(two)) - stem <= _MAX_ENDING
    matcher = SequenceMatcher(None, one, two)
    if not inflected and min(matcher.real_quick_ratio(), matcher.quick_ratio()) < _ALIKE:
        return 0.0
    ratio = matcher.ratio()
    return ratio if ratio >= _ALIKE or inflected else 0.0


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names with a number where several are alike: cat 1, cat 2; others stay as they are."""
    keys = [fold(name) for name in names]
    totals, seen = Counter(keys), Counter[str]()
    numbered = []
    for name, key in zip(names, keys, strict=True):
        seen[key] += 1
        numbered.append(f"{name} {seen[key]}" if totals[key] > 1 else name)
    return tuple(numbered)


def _fold_sign(sign: str) -> str:
    """Fold one sign as Unicode's NFKC_Casefold does; blanks become a space."""
    plain = _INVISIBLE.sub("", sign).translate(_STRAIGHT)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain).casefold())
    return " " if plain and (plain.isspace() or folded.isspace()) else folded


def _letters(text: str) -> str:
    """Return the folded words of a text, without what stands between and around them, and without numbers."""
    words = (match.group() for match in WORD.finditer(fold(text)))
    return " ".join(word for word in words if not word.isdecimal())
