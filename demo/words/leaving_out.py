"""A prompt without some of its words, and without what belongs to them alone: articles, colours, a preposition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from demo.words.english import DETERMINERS, tidy
from mmdiff_core.encoders.name_matching import WORD, Span, fold, overlap
from mmdiff_core.toyworld.render.colours import COLOURS
from mmdiff_core.toyworld.scenes.known_phrases import KnownPhrases

_PREPOSITIONS = frozenset(
    {"with", "wearing", "of", "in", "on", "at", "by", "under", "near", "from", "for", "to", "into", "over", "through"}
)
_SIGNS = " -:;"


def leave_out(prompt: str, runs: Sequence[Span], known: KnownPhrases) -> str:
    """Return a prompt without words: of "a cat on chess" nothing is left but the cat.

    Args:
        prompt: without triggers.
        runs: the spans of what is left out.
        known: what the model was trained on.
    """
    kept, end = "", 0
    for (start, stop), instead in _Cut(prompt, runs, known).changes():
        kept, end = kept + prompt[end:start] + instead, stop
    parts = (part.strip(_SIGNS) for part in (kept + prompt[end:]).split(","))
    return tidy(", ".join(part for part in parts if part))


def qualifies(prompt: str, end: int, known: KnownPhrases) -> bool:
    """Whether what ends at a place stands before a known noun or a colour, as in "a cute cat" or "a sunny beach"."""
    after = WORD.search(prompt, end)
    if after is None or not prompt[end : after.start()].isspace():
        return False
    nouns = {*known.class_words, *known.place_words, *known.vocabulary.accessories}
    return fold(after.group()) in nouns | COLOURS.keys()


class _Cut:
    """The words of a prompt, and which of them are left out."""

    def __init__(self, prompt: str, runs: Sequence[Span], known: KnownPhrases) -> None:
        self.prompt, self.known = prompt, known
        self.words = [match.span() for match in WORD.finditer(prompt)]
        self.plain = [fold(prompt[slice(*span)]) for span in self.words]
        self.gone = [any(overlap(span, run) for run in runs) for span in self.words]
        relations = [tuple(phrase.split()) for phrase in known.relation_phrases]
        self.links = [*relations, *((word,) for word in _PREPOSITIONS | known.place_prepositions)]
        self.relations = relations
        self._linking = {link[-1] for link in self.links}  # after which a noun has an article

    def changes(self) -> Iterator[tuple[Span, str]]:
        """Yield the spans of all words that go, in their order, each with what comes instead."""
        articles = set[int]()
        for first, last in list(self._runs()):
            if self._is_style(first, last):
                self._drop(first - 1 if self._is_joined(first - 1) else first, first)
                self._drop(last + 1, last + 2)
            elif not self._qualifies(last):
                self._drop_what_belongs_to(first, last)
            elif not self._is_joined(first - 1) or self.plain[first - 1] in self._linking:
                articles.add(first)  # a word such as "my" was the article
        for at, span in enumerate(self.words):
            if self.gone[at]:
                yield span, "a" if at in articles else ""

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Yield the first and the last of words that go and stand together."""
        first = None
        for at, gone in enumerate(self.gone):
            if gone and first is None:
                first = at
            if first is not None and (not self._is_joined(at) or not self._is_gone(at + 1)):
                yield first, at
                first = None

    def _drop_what_belongs_to(self, first: int, last: int) -> None:
        at = first
        while self._is_joined(at - 1) and self.plain[at - 1] in COLOURS:
            at -= 1
        if self._is_joined(at - 1) and self.plain[at - 1] in DETERMINERS:
            at -= 1
        link = max((len(link) for link in self.links if self._stands_before(link, at)), default=0)
        self._drop(at - link, first)
        if not link and not self._is_joined(at - 1):  # it was the first: what links the next to it goes
            self._drop(last + 1, last + 1 + self._relation_after(last))

    def _stands_before(self, link: tuple[str, ...], at: int) -> bool:
        start = at - len(link)
        joined = start >= 0 and all(self._is_joined(i) for i in range(start, at))
        return joined and tuple(self.plain[start:at]) == link

    def _relation_after(self, last: int) -> int:
        found = (len(link) for link in self.relations if self._stands_after(link, last))
        return max(found, default=0)

    def _stands_after(self, link: tuple[str, ...], last: int) -> bool:
        end = last + 1 + len(link)
        joined = end <= len(self.words) and all(self._is_joined(i) for i in range(last, end - 1))
        return joined and tuple(self.plain[last + 1 : end]) == link

    def _qualifies(self, last: int) -> bool:
        """Whether a known noun follows, which stays."""
        return not self._is_gone(last + 1) and qualifies(self.prompt, self.words[last][1], self.known)

    def _is_style(self, first: int, last: int) -> bool:
        """Whether words name a style, as in "an oil painting of a cat"."""
        of = self._is_joined(last) and self.plain[last + 1] == "of" and not self._is_gone(last + 2)
        begins = not self._is_joined(first - 1) or (
            self.plain[first - 1] in DETERMINERS and not self._is_joined(first - 2)
        )
        return of and begins

    def _drop(self, start: int, end: int) -> None:
        for at in range(max(start, 0), min(end, len(self.gone))):
            self.gone[at] = True

    def _is_gone(self, at: int) -> bool:
        return at < len(self.gone) and self.gone[at]

    def _is_joined(self, at: int) -> bool:
        """Whether there is nothing but blanks between a word and the next one."""
        if not 0 <= at < len(self.words) - 1:
            return False
        return self.prompt[self.words[at][1] : self.words[at + 1][0]].isspace()
