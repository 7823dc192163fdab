"""Prompts in English: articles, and the signs between words."""

from __future__ import annotations

import re

from mmdiff_core.encoders.name_matching import fold

ARTICLES = frozenset({"a", "an", "another"})
DETERMINERS = ARTICLES | {"the"}
_POSSESSIVES = "my your his her its our their this that these those some any each every all"
_FUNCTION_WORDS = (
    "i you he she it we they me him us them who which what where when while there here no not "
    "is are was were be been being am has have had do does did will would can could should may might must "
    "as at by for from in into of off on onto out over to up down with without about above across after against along "
    "around before below beneath beyond during inside near outside through toward towards under "
    "and or but nor so than then very too just also only really quite"
)
POSSESSIVES = frozenset(_POSSESSIVES.split())
# Words that show nothing by themselves, and of which nobody needs to hear that the model does not know them.
FUNCTION_WORDS = POSSESSIVES | frozenset(_FUNCTION_WORDS.split())

_ARTICLE = re.compile(r"\b(an?) (\w+)", re.IGNORECASE)
# Vowels that are spoken as consonants, as in "unicorn", and the other way round.
_CONSONANT, _VOWEL = re.compile(r"uni|us[ei]|eu|one"), re.compile(r"[aeiou]|hour|honest|heir")
_WIDE_SIGNS = str.maketrans(
    {"，": ", ", "、": ", ", "。": ". ", "；": "; ", "：": ": ", "！": "! ", "？": "? ", "（": " (", "）": ") "}
)


def with_article(name: str) -> str:
    """Return a name with "a" or "an"."""
    plain = fold(name)
    return f"{'an' if _VOWEL.match(plain) and not _CONSONANT.match(plain) else 'a'} {name}"


def several(name: str, count: int) -> str:
    """Return a name two or three times, as the captions say it, which know no plural."""
    first = f"{with_article(name)}, another {name}" if count == 3 else with_article(name)
    return f"{first} and another {name}"


def tidy(prompt: str) -> str:
    """Return a prompt with the articles, blanks and signs that go with its words."""
    spaced = re.sub(r" +([,.;:!?)])", r"\1", " ".join(prompt.translate(_WIDE_SIGNS).split()))
    return _ARTICLE.sub(_agreeing, re.sub(r"(?:[,;] ?)+(?=[,.;])", "", spaced).strip(",; "))


def _agreeing(article: re.Match[str]) -> str:
    phrase = with_article(article[2])
    return phrase[0].upper() + phrase[1:] if article[1][0].isupper() else phrase
