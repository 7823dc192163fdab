"""The order of words: parts of a prompt of another language, put together as English does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from demo.words.english import several, tidy, with_article

# A "side" is a relation that follows what it belongs to, as in Chinese, whose particles "of", "at" and "there" are.
PartKind = Literal[
    "article", "colour", "toy", "worn", "place", "relation", "and", "side", "of", "at", "there", "word", "sign"
]
WEARING = "wearing"
_COUNTS = {"two": 2, "three": 3}


@dataclass(frozen=True)
class Part:
    """A part of a prompt, in English where there is a word for it.

    ``is_foreign``: it was in another language; ``is_apart``: there is a blank before it, or its script has none.
    """

    kind: PartKind
    text: str
    is_foreign: bool = False
    is_apart: bool = True


class _Phrase(NamedTuple):
    """A toy with what is said of it, the places that stood before it, and the number of the part after it."""

    text: str
    places: tuple[str, ...]
    end: int


def sentence(parts: Sequence[Part]) -> str:
    """Return the English of parts: each toy with its article and its colours before it, places after the toys."""
    order, text, at = _Order(parts), "", 0
    while at < len(parts):
        phrase = order.chain(at)
        said, end = (phrase.text, phrase.end) if phrase else (parts[at].text, at + 1)
        text += f" {said}" if parts[at].is_apart else said
        at = end
    return tidy(text)


class _Order:
    """Reads phrases from parts; a method returns None where there is none."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts

    def chain(self, at: int) -> _Phrase | None:
        """Return toys and what stands between them; the places before the first come after the last."""
        chain = self._toy(at)
        while chain is not None and (longer := self._joined(chain)) is not None:
            chain = longer
        return chain and _Phrase(" ".join((chain.text, *chain.places)), (), chain.end)

    def _joined(self, chain: _Phrase) -> _Phrase | None:
        """Return a chain with the next toy, unless that has a place of its own."""
        at, said = chain.end, self._text(chain.end)
        if self._kind(at) in ("and", "relation"):
            after, pattern = self._toy(at + 1), "{chain} {said} {toy}"
        elif self._kind(at) == "side" and self._kind(at + 1) == "of":  # the cat at the dog's side
            after, pattern = self._toy(at + 2), "{toy} {said} {chain}"
        elif self._kind(at) == "at":  # a cat at a dog's side
            after, pattern = self._toy(at + 1), "{chain} {said} {toy}"
            if after is None or self._kind(after.end) != "side":
                return None
            said, after = self._text(after.end), after._replace(end=after.end + 1)
        else:
            return None
        if after is None or (chain.places and after.places):
            return None
        text = pattern.format(chain=chain.text, said=said, toy=after.text)
        return _Phrase(text, chain.places or after.places, after.end)

    def _toy(self, at: int) -> _Phrase | None:
        """Return a toy, or something worn, with its article, its colours, and what it wears or where it is."""
        start, article = at, ""
        colours, places, worn = list[str](), list[str](), list[str]()
        while (kind := self._kind(at)) not in ("toy", "worn"):
            if kind == "article" and not article:
                article = self._text(at)
            elif kind == "word" and self._kind(at + 1) == "of":
                colours.append(self._text(at))  # an adjective without a translation
            elif kind == "colour" or (kind == "and" and colours and self._kind(at + 1) == "colour"):
                colours.append(self._text(at))
            elif kind == "place" and self.parts[at].is_foreign:
                places.append(self._text(at))
            elif kind == "word" and at > start and self._asks_for_a_noun(at - 1):
                break  # a noun without a translation
            elif (clause := self._worn(at)) is not None:
                worn.append(clause.text)
                at = clause.end
            elif kind not in ("of", "there") or at == start:
                return None
            at += 1
        noun, at = self._text(at), at + 1
        while self._kind(at) == "colour" and self.parts[at].is_foreign:
            colours.append(self._text(at))
            and_more = self._kind(at + 1) == "and" and self._kind(at + 2) == "colour"
            colours += [self._text(at + 1)] if and_more else []
            at += 2 if and_more else 1
        named = " ".join((*colours, noun))
        if article in _COUNTS:
            named = several(named, _COUNTS[article])
        elif article not in ("a", "an", ""):
            named = f"{article} {named}"
        elif article or self._kind(start - 1) != "word":  # else a word such as "my"
            named = with_article(named)
        return _Phrase(" ".join((named, *worn)), tuple(places), at)

    def _asks_for_a_noun(self, at: int) -> bool:
        part = self.parts[at]
        return part.is_foreign and part.kind in ("article", "colour", "of", "there")

    def _worn(self, at: int) -> _Phrase | None:
        """Return what is worn by a toy that comes later; it ends with the particle between them."""
        if self._kind(at) != "relation" or self._text(at) != WEARING:
            return None
        worn = self._toy(at + 1)
        if worn is None or self._kind(worn.end) != "of":
            return None
        return worn._replace(text=f"{WEARING} {worn.text}")

    def _kind(self, at: int) -> PartKind | None:
        return self.parts[at].kind if 0 <= at < len(self.parts) else None

    def _text(self, at: int) -> str:
        return self.parts[at].text if at < len(self.parts) else ""
