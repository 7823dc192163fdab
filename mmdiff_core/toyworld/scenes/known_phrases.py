"""What a prompt can say to a model of the rendered world: the phrases and words of the captions in its training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from mmdiff_core.toyworld.bodies.toys import CLASSES
from mmdiff_core.toyworld.render.colours import COLOURS
from mmdiff_core.toyworld.render.styles import PHOTO
from mmdiff_core.toyworld.scenes.captions import (
    BACKGROUND_WORDS,
    CLASS_WORDS,
    FRAMES,
    RELATIONS,
    STYLE_WORDS,
    STYLED_FRAMES,
    TRIPLES,
    Arrangement,
)
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary

# What captions write around the names of classes, colours and parts; see captions.py.
_GLUE = "a an another half and with wearing striped stripes dots spots patches"
_GAP = re.compile(r"{\w+}")


@dataclass(frozen=True)
class KnownPhrases:
    """The phrases of the captions of a vocabulary, in lower case."""

    vocabulary: Vocabulary

    @property
    def classes(self) -> tuple[str, ...]:
        """The plain word of each class."""
        return tuple(CLASS_WORDS[name][0] for name in self.vocabulary.classes)

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """The plain phrase of each background, such as "on the beach"."""
        return tuple(BACKGROUND_WORDS[name][0] for name in self.vocabulary.backgrounds)

    @property
    def styles(self) -> tuple[str, ...]:
        """The plain phrase of each style that captions name, such as "pixel art of"."""
        return tuple(STYLE_WORDS[name][0][0] for name in self.vocabulary.styles if name != PHOTO)

    @property
    def relations(self) -> tuple[str, ...]:
        """The plain phrase of each way in which two toys stand to each other, such as "next to"."""
        return tuple(map(plain_relation, RELATIONS))

    @cached_property
    def relation_phrases(self) -> tuple[str, ...]:
        """Every phrase between two toys, the longest first."""
        phrases = (_without_gaps(phrase) for phrases in RELATIONS.values() for phrase in phrases)
        return tuple(sorted(phrases, key=len, reverse=True))

    @cached_property
    def style_phrases(self) -> tuple[str, ...]:
        """Every phrase for a style before what the image shows, the longest first."""
        styles = (name for name in self.vocabulary.styles if name != PHOTO)
        return tuple(sorted((phrase for name in styles for phrase in STYLE_WORDS[name][0]), key=len, reverse=True))

    @cached_property
    def class_words(self) -> dict[str, str]:
        """The plain word of a class by each of its words, such as "kitten"."""
        return {word: CLASS_WORDS[name][0] for name in self.vocabulary.classes for word in CLASS_WORDS[name]}

    @cached_property
    def background_phrases(self) -> tuple[str, ...]:
        """Every phrase for a background, the longest first."""
        phrases = (phrase for name in self.vocabulary.backgrounds for phrase in BACKGROUND_WORDS[name])
        return tuple(sorted(phrases, key=len, reverse=True))

    @cached_property
    def place_prepositions(self) -> frozenset[str]:
        """The words that a phrase for a background begins with, such as "on"."""
        return frozenset(phrase.split()[0] for phrase in self.background_phrases if " " in phrase)

    @cached_property
    def place_words(self) -> frozenset[str]:
        """The words of the backgrounds' phrases after their prepositions, such as "sandy" and "beach"."""
        words = (word for phrase in self.background_phrases for word in phrase.split()[1:])
        return frozenset(words) - {"a", "an", "another", "the", "at", "by", "of"}

    @cached_property
    def words(self) -> frozenset[str]:
        """Every single word of a caption."""
        return frozenset(word for phrase in self._phrases() for word in re.findall(r"[\w-]+", phrase.lower()))

    def _phrases(self) -> Iterable[str]:
        yield from (_GLUE, *self.vocabulary.accessories, *self.class_words, *self.background_phrases, *COLOURS)
        yield from (part for name in self.vocabulary.classes for part in (CLASSES[name].second, CLASSES[name].accent))
        yield from self._templates()

    def _templates(self) -> Iterator[str]:
        styled = [name for name in self.vocabulary.styles if name != PHOTO]
        named = [phrase for name in styled for phrases in STYLE_WORDS[name] for phrase in phrases]
        frames = (*FRAMES, *(STYLED_FRAMES if styled else ()))
        related = (phrase for phrases in (*RELATIONS.values(), *TRIPLES.values()) for phrase in phrases)
        yield from (*named, *map(_without_gaps, frames), *map(_without_gaps, related))


def plain_relation(arrangement: Arrangement) -> str:
    """Return how captions say that two toys stand so, such as "next to"."""
    return _without_gaps(RELATIONS[arrangement][0])


def _without_gaps(template: str) -> str:
    return " ".join(_GAP.sub(" ", template).split())
