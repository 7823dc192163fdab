"""Prompts in English: articles, and what the page's other languages call the things that the built-in model knows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from demo.web.i18n import LANGUAGES, texts_of
from mmdiff_core.encoders.name_matching import FoldedText, Span, fold, likeness, overlap
from mmdiff_core.toyworld.render.colours import COLOURS
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS, CLASS_WORDS, RELATIONS
from mmdiff_core.toyworld.scenes.known_phrases import plain_relation
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary

ARTICLES = frozenset({"a", "an", "another"})

# Of a word of another language, and how alike it is to that word with an ending, as of a case or a plural.
_LETTERS, _SAME_WORD = 4, 0.85
_ARTICLE = re.compile(r"\ban? (\w+)")
_SPACED_MARK = re.compile(r" ([,.;:])")

Translated = tuple[Span, str]  # a part of a prompt, and its English


def with_article(name: str) -> str:
    """Return a name with "a" or "an"."""
    return f"{'an' if fold(name)[:1] in tuple('aeiou') else 'a'} {name}"


class Translator:
    """Knows words and phrases, and articles, in other languages.

    Args:
        english: what they are in English.
    """

    def __init__(self, english: Mapping[str, str] | None = None) -> None:
        longest_first = sorted((english or {}).items(), key=lambda pair: -len(pair[0]))
        self.english = {fold(foreign): phrase for foreign, phrase in longest_first}

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Translator:
        """Take the phrases of a vocabulary from the texts of the page."""
        english: dict[str, str] = {}
        for texts in (texts_of(language) for language in set(LANGUAGES.values()) - {"en"}):
            english |= {texts[f"class_{name}"]: CLASS_WORDS[name][0] for name in vocabulary.classes}
            for name in vocabulary.backgrounds:
                english[texts[f"background_{name.replace(' ', '_')}"]] = BACKGROUND_WORDS[name][0]
            english |= {texts[f"relation_{name}"]: plain_relation(name) for name in RELATIONS}
            english |= {texts["word_and"]: "and"} | dict.fromkeys(texts["articles"].split(), "a")
            english |= {word: colour for colour in COLOURS for word in texts[f"colour_{colour}"].split()}
        return cls(english)

    def find(self, prompt: str, unknown: Sequence[Span]) -> list[Translated]:
        """Return the words and phrases of other languages among unknown words, in their order, with their English."""
        folded, found = FoldedText.of(prompt), list[Translated]()
        for foreign, phrase in self.english.items():
            for span in folded.find(foreign):
                if any(overlap(span, other) for other in unknown) and _is_free(span, found):
                    found.append((span, phrase))
        for span in unknown:
            meant = self._inflected(fold(prompt[slice(*span)])) if _is_free(span, found) else None
            if meant is not None:
                found.append((span, meant))
        return sorted(found)

    def _inflected(self, word: str) -> str | None:
        if len(word) < _LETTERS:
            return None
        rate, near = max(((likeness(word, foreign), foreign) for foreign in self.english), default=(0.0, ""))
        return self.english[near] if rate > _SAME_WORD else None


def in_english(prompt: str, parts: Sequence[Translated]) -> str:
    """Return a prompt with the English of its parts, and the articles that go with it."""
    for (start, end), phrase in reversed(parts):
        prompt = f"{prompt[:start]} {phrase} {prompt[end:]}"  # other scripts have no blanks
    spaced = _SPACED_MARK.sub(r"\1", " ".join(prompt.split()))
    return _ARTICLE.sub(lambda article: with_article(article[1]), spaced)


def _is_free(span: Span, found: Sequence[Translated]) -> bool:
    return not any(overlap(span, other) for other, _ in found)
