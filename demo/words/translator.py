"""Prompts of the page's other languages in English, as far as the rendered world has words for them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, get_args

from demo.web.i18n import LANGUAGES, texts_of
from demo.web.static_files import static
from demo.words.english import DETERMINERS
from demo.words.spelling import near_words
from demo.words.word_order import Part, PartKind, sentence
from mmdiff_core.encoders.name_matching import WORD, FoldedText, Span, fold, likeness, overlap
from mmdiff_core.toyworld.render.colours import COLOURS
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS, CLASS_WORDS, RELATIONS
from mmdiff_core.toyworld.scenes.known_phrases import KnownPhrases, plain_relation
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD

# Of a word of another language, and how alike it is to that word with an ending, as of a case or a plural.
_LETTERS, _SAME_WORD = 4, 0.85
_CONTENT = frozenset[PartKind]({"toy", "worn", "place", "colour", "relation", "side"})
_ALSO_ENGLISH = frozenset({"auto", "boot", "con", "die", "dos", "rot"})
_BEFORE_PLACES = "in|on|at|under|by|a|an|the"  # in English
_TOKEN = re.compile(r"\S")
_PREPOSITION = re.compile(r"^(?:in|on|at|under) (?:the )?")
_OPENING = tuple("([{\"'“‘„«<")


class _Entry(NamedTuple):
    """A word or phrase of another language, folded, and its English."""

    foreign: str
    kind: PartKind
    english: str
    language: str


class _Found(NamedTuple):
    """A part of a prompt; ``is_slip``: it could be a slip in English as well."""

    span: Span
    entry: _Entry
    is_slip: bool = False


@dataclass(frozen=True)
class Translation:
    """A prompt in English.

    Attributes:
        text: all of it; words without a translation stay as they are.
        words: the English of each part that was translated, by its span in the prompt.
    """

    text: str
    words: Mapping[Span, str] = field(default_factory=dict)


class Translator:
    """Knows how the page's other languages name what can be rendered."""

    def __init__(self) -> None:
        entries = [entry for language in sorted(set(LANGUAGES.values()) - {"en"}) for entry in _entries(language)]
        self._entries = sorted(entries, key=lambda entry: (entry.kind != "place", -len(entry.foreign)))
        self._english = KnownPhrases(WHOLE_WORLD)

    def translate(self, prompt: str, unknown: Sequence[Span]) -> Translation | None:
        """Return a prompt in English; None where none of its unknown words is of another language.

        Args:
            prompt: without triggers.
            unknown: the spans of words that mean nothing to the model.
        """
        found = sorted(self._found(prompt, unknown))
        if not _is_foreign(found):
            return None
        words = {each.span: each.entry.english for each in found if each.entry.english}
        return Translation(sentence(list(self._parts(prompt, found))), words)

    def translate_list(self, listed: str, items: Sequence[Span], unknown: Sequence[Span]) -> Translation | None:
        """Return words of a list in English, without articles; None where none is of another language."""
        found = self._found(listed, unknown)
        if not _is_foreign(found):
            return None
        words = {each.span: each.entry.english for each in found if each.entry.english}
        english = []
        for item in items:
            said = [text for span, text in sorted(words.items()) if overlap(span, item) and text not in DETERMINERS]
            english.append(" ".join(said) if said else listed[slice(*item)])
        return Translation(", ".join(english), words)

    def _found(self, prompt: str, unknown: Sequence[Span]) -> list[_Found]:
        folded, found = FoldedText.of(prompt), list[_Found]()
        for entry in self._entries:
            for exact in folded.find(entry.foreign):
                span = _widened(prompt, exact, entry.language) if entry.kind == "place" else exact
                is_alone = span == exact and entry.english.endswith(entry.foreign)  # in English
                if any(overlap(span, other) for other in unknown) and _is_free(span, found) and not is_alone:
                    found.append(_Found(span, entry))
        for span in unknown:
            word = fold(prompt[slice(*span)])
            meant = self._inflected(word) if _is_free(span, found) else None
            if meant is not None:
                found.append(_Found(span, meant, bool(near_words(word, self._english.words))))
        return [each for each in found if each.entry.kind != "word"]

    def _inflected(self, word: str) -> _Entry | None:
        rated = [(likeness(word, entry.foreign), entry) for entry in self._entries if len(word) >= _LETTERS]
        rate, entry = max(rated, default=(0.0, None))
        return entry if rate > _SAME_WORD else None

    def _parts(self, prompt: str, found: Sequence[_Found]) -> Iterator[Part]:
        end = 0
        for (start, stop), entry, _ in found:
            yield from self._plain(prompt, end, start)
            yield Part(entry.kind, entry.english, True, not prompt[:start].endswith(_OPENING))
            end = stop
        yield from self._plain(prompt, end, len(prompt))

    def _plain(self, prompt: str, start: int, end: int) -> Iterator[Part]:
        """Yield the parts of a stretch of the prompt without words of other languages."""
        relations = [span for phrase in self._english.relation_phrases for span in FoldedText.of(prompt).find(phrase)]
        at = start
        while token := _TOKEN.search(prompt, at, end):
            place = token.start()
            related = next((span for span in relations if span[0] == place and span[1] <= end), None)
            word = WORD.match(prompt, place, end)
            stop = related[1] if related else word.end() if word else place + 1
            text = prompt[place:stop]
            is_apart = place == 0 or prompt[place - 1].isspace() or (place == start > 0 and word is not None)
            is_word = word is not None and any(sign.isalnum() for sign in text)
            yield Part(self._kind(text, is_word, related is not None), text, False, is_apart)
            at = stop

    def _kind(self, text: str, is_word: bool, is_relation: bool) -> PartKind:
        plain = fold(text)
        if plain == "and":
            return "and"
        if is_relation:
            return "relation"
        if plain in DETERMINERS:
            return "article"
        if plain in COLOURS:
            return "colour"
        if plain in self._english.class_words:
            return "toy"
        return "word" if is_word else "sign"


def _is_foreign(found: Sequence[_Found]) -> bool:
    """Whether words are of another language: there is a telling one, and not all could be English."""
    telling = any(each.entry.kind in _CONTENT for each in found)
    return telling and not all(each.is_slip or each.entry.foreign in _ALSO_ENGLISH for each in found)


def _is_free(span: Span, found: Sequence[_Found]) -> bool:
    return not any(overlap(span, each.span) for each in found)


# ---------------------------------------------------------------- the words of a language


@lru_cache(maxsize=1)
def _foreign_words() -> dict[str, dict[str, Any]]:
    words: dict[str, dict[str, Any]] = json.loads(static("words/foreign_words.json"))
    return words


def _entries(language: str) -> Iterator[_Entry]:
    """Yield how a language names things: as the page does, and in further words."""
    texts = texts_of(language)
    for phrases in BACKGROUND_WORDS.values():  # after a preposition of the language, as in "am beach"
        if noun := _PREPOSITION.sub("", phrases[0]):
            yield _Entry(noun, "place", phrases[0], language)
    for name, words in CLASS_WORDS.items():
        yield _Entry(fold(texts[f"class_{name}"]), "toy", words[0], language)
    for name, phrases in BACKGROUND_WORDS.items():
        yield _Entry(fold(texts[f"background_{name.replace(' ', '_')}"]), "place", phrases[0], language)
    for name in RELATIONS:
        yield _Entry(fold(texts[f"relation_{name}"]), "relation", plain_relation(name), language)
    kinds: tuple[PartKind, ...] = get_args(PartKind)
    for kind in kinds:
        for english, foreign in _foreign_words()[language].get(kind, {}).items():
            said = BACKGROUND_WORDS[english][0] if kind == "place" else english
            for word in foreign if isinstance(foreign, list) else foreign.split():
                yield _Entry(fold(word), kind, said, language)


def _widened(prompt: str, span: Span, language: str) -> Span:
    """Return the span of a place with what a language writes before and after it, such as "on the"."""
    before, after = _around_places(language)
    first, last = before.search(prompt, 0, span[0]), after.match(prompt, span[1])
    return (first.start() if first else span[0]), (last.end() if last else span[1])


@lru_cache
def _around_places(language: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    words = _foreign_words()[language]
    before, after = "|".join(words["before a place"].split()), "|".join(words["after a place"])
    english = rf"\b(?:{_BEFORE_PLACES})\s*"
    if language == "zh":  # without blanks
        return re.compile(rf"(?:(?:{before})\s*|{english})+$", re.IGNORECASE), re.compile(rf"(?:{after})+")
    links = re.compile(rf"(?:\b(?:{before})\s+|{english}(?<=\s))+$", re.IGNORECASE)
    return links, re.compile(rf"\s+(?:{after})\b", re.IGNORECASE)
