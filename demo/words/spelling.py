"""Words that are written almost like known ones, and what pictographs are called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator

from mmdiff_core.encoders.name_matching import fold

_SHORTEST = 3  # letters of a known word that a slip is compared with
_LONG = 7  # letters of words that one wrong letter does not turn into other words, as it does "chest" into "chess"
_SOUNDS = (("ey", "ay"), ("ph", "f"), ("ck", "k"), ("c", "k"), ("z", "s"), ("y", "i"))
_LONG_E, _LONG_I = re.compile(r"ea|ee"), re.compile(r"ite(?=s?$)")


def near_words(word: str, known: Collection[str]) -> list[str]:
    """Return the known words that a word is a form of, or is meant for with a slip; those of the same sound first.

    A slip is a letter that is doubled or not, two that changed places, and in a long word one that is wrong, missing
    or too much. In a short word that makes another word too often: "chess" is no slip for "chest".
    """
    plain = fold(word)
    if plain in known:
        return [plain]
    forms = _forms(plain)
    rated = ((_rank(plain, forms, other), other) for other in known if len(other) >= _SHORTEST)
    return [other for rank, other in sorted((rank, other) for rank, other in rated if rank is not None)]


def sign_name(word: str) -> str:
    """Return what Unicode calls a pictograph, such as "cat face"; empty for a word."""
    if any(sign.isalnum() for sign in word):
        return ""
    names = (unicodedata.name(sign, "") for sign in word if unicodedata.category(sign) == "So")
    return " + ".join(names).lower()


def _rank(plain: str, forms: Collection[str], other: str) -> int | None:
    if other in forms or plain in _forms(other):
        return 0
    if _sound(plain) == _sound(other) or _long_sound(plain) == _long_sound(other):
        return 1
    return 2 if _is_slip(plain, other) else None


def _forms(word: str) -> set[str]:
    """Return a word with the endings of English."""
    forms = {f"{word}{ending}" for ending in ("s", "es", "'s", "ing", "ed")}
    return forms | ({f"{word[:-1]}ies"} if word.endswith("y") else set())


def _sound(word: str) -> str:
    for written, spoken in _SOUNDS:
        word = word.replace(written, spoken)
    return re.sub(r"(.)\1+", r"\1", word)


def _long_sound(word: str) -> str:
    """Write long vowels of words such as "beech" and "nite" as "beach" and "night" do; a short "e" is another."""
    return _sound(_LONG_I.sub("ight", _LONG_E.sub("E", word)))


def _is_slip(one: str, two: str) -> bool:
    if one[0] != two[0]:
        return False
    left, right = _middles(one, two)
    swapped = len(left) == 2 and left == right[::-1]
    return swapped or (max(len(left), len(right)) <= 1 and max(len(one), len(two)) >= _LONG)


def _middles(one: str, two: str) -> Iterator[str]:
    """Yield what is left of two words without what they begin and end with alike."""
    start = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    most = min(len(one), len(two)) - start
    end = next((i for i in range(most) if one[-1 - i] != two[-1 - i]), most)
    yield one[start : len(one) - end]
    yield two[start : len(two) - end]
