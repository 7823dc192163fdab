"""Weights in a prompt, as other programs write them.

::

    (a word) and ((a word))     1.1 and 1.21 times
    (a word:1.3)                1.3 times; around others, times theirs
    [a word]                    1 / 1.1 times
    \\( \\) \\[ \\]                 the signs themselves, as are those without a partner
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from mmdiff_core.encoders.name_matching import WORD, Span, occurrences, overlap, without_invisible_signs
from mmdiff_core.encoders.prompt import TRIGGER_WITH_SPACE
from mmdiff_core.errors import PromptError

STEP = 1.1
MAX_WEIGHT = 10.0
_SIGN = re.compile(r"\\[()\[\]\\]|:\s*[+-]?\d*\.?\d+\s*(?=\))|[()\[\]]")
PARTNERS = {")": "(", "]": "["}
_ARTICLE = re.compile(r"^(?:a|an|the|another)(?:\s+|$)", re.IGNORECASE)


def read_weights(prompt: str) -> tuple[str, tuple[float, ...]]:
    """Return the prompt without the signs of weights and without what is invisible, and the weight of each character.

    Raises:
        PromptError: a weight is not from 0 to 10.
    """
    prompt = without_invisible_signs(prompt)
    signs = list(_SIGN.finditer(prompt))
    kept: list[str] = []
    weights: list[float] = []
    partners, position = _partners(signs), 0
    opened: list[int] = []  # for each open bracket, how much of the text came before it
    for index, sign in enumerate(signs):
        between = prompt[position : sign.start()]
        position = sign.end()
        plain = _plain(sign[0], index in partners)
        kept.append(between + plain)
        weights += [1.0] * len(between + plain)
        if index not in partners or plain:
            continue
        if sign[0] in PARTNERS.values():
            opened.append(len(weights))
        elif sign[0] in PARTNERS:
            factor = _factor(sign[0], signs[index - 1][0] if index and signs[index - 1].end() == sign.start() else "")
            start = opened.pop()
            weights[start:] = [weight * factor for weight in weights[start:]]
    rest = prompt[position:]
    return "".join(kept) + rest, (*weights, *[1.0] * len(rest))


@dataclass(frozen=True)
class PlainPrompt:
    """A prompt without triggers as the text encoder reads it: without the signs of weights.

    ``places`` are those of its characters in the prompt as it was typed, ``weights`` those of its characters.
    """

    text: str
    places: tuple[int, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(cls, prompt: str) -> PlainPrompt:
        """Read a prompt without invisible signs.

        Raises:
            PromptError: a weight is not from 0 to 10.
        """
        text, weights = read_weights(prompt)
        signs = list(_SIGN.finditer(prompt))
        partners, gone = _partners(signs), set[int]()
        for index, sign in enumerate(signs):
            gone.update(range(sign.start(), sign.end() - len(_plain(sign[0], index in partners))))
        return cls(text, tuple(place for place in range(len(prompt)) if place not in gone), weights)

    def typed(self, span: Span) -> Span:
        """Return where a span of the text is in the prompt as it was typed."""
        start, end = span
        return (self.places[start], self.places[end - 1] + 1) if start < end else span

    def read(self, span: Span) -> Span:
        """Return where a span of the prompt as it was typed is in the text."""
        return bisect_left(self.places, span[0]), bisect_left(self.places, span[1])

    def with_weights(self, text: str, said: Mapping[Span, str]) -> str:
        """Return a changed text with the signs of the weights that its words had.

        Args:
            text: what the text has become, without signs.
            said: what stands in it for spans of the text; all other words stand for themselves.
        """
        weights = [1.0] * len(text)
        words = (match.span() for match in WORD.finditer(self.text))
        others = {span: self.text[slice(*span)] for span in words if not any(overlap(span, old) for old in said)}
        for (_, end), word in sorted((others | dict(said)).items()):
            weight = self.weights[end - 1]
            places = [] if weight == 1 else occurrences(text, _ARTICLE.sub("", word))
            free = next((place for place in places if set(weights[slice(*place)]) == {1.0}), None)
            if free is not None:
                weights[slice(*free)] = [weight] * (free[1] - free[0])
        return _with_signs(text, weights)


def _with_signs(text: str, weights: list[float]) -> str:
    """Write a text with its weights; blanks between characters of one weight have it, too."""
    for blank in re.finditer(r"(?<=\S)\s+(?=\S)", text):
        before, after = weights[blank.start() - 1], weights[blank.end()]
        weights[slice(*blank.span())] = [before if before == after else 1.0] * len(blank[0])
    written, end = "", 0
    for weight, run in groupby(weights):
        start, end = end, end + len(list(run))
        plain = re.sub(r"[()\[\]]", r"\\\g<0>", text[start:end])
        written += plain if weight == 1 else f"({plain}:{weight:.4g})"
    return written


def _partners(signs: Sequence[re.Match[str]]) -> set[int]:
    """Return the brackets that have a partner, and the numbers before a closing one that has."""
    opened: list[int] = []
    found: set[int] = set()
    for index, sign in enumerate(signs):
        if sign[0] in PARTNERS.values():
            opened.append(index)
        elif sign[0] in PARTNERS and opened and signs[opened[-1]][0] == PARTNERS[sign[0]]:
            found |= {opened.pop(), index}
            if signs[index - 1][0].startswith(":") and signs[index - 1].end() == sign.start():
                found.add(index - 1)
    return found


def _plain(sign: str, has_partner: bool) -> str:
    """Return what of a sign the text encoder reads."""
    if sign.startswith("\\"):
        return sign[1:]
    return "" if has_partner else sign


def _factor(closing: str, number: str) -> float:
    """Return what a pair of brackets multiplies with; ``number`` is what stands before the closing one."""
    if closing == "]":
        return 1 / STEP
    if not number.startswith(":"):
        return STEP
    factor = float(number[1:])
    if not 0 <= factor <= MAX_WEIGHT:
        raise PromptError(f'The weight "{number[1:].strip()}" in the prompt must be from 0 to {MAX_WEIGHT:g}.')
    return factor


def without_trigger_weights(text: str, weights: Sequence[float]) -> tuple[float, ...]:
    """Return the weights of the characters that are left when :func:`find_words` has removed the triggers."""
    left, position = list[float](), 0
    for match in TRIGGER_WITH_SPACE.finditer(text):
        left += weights[position : match.start()]
        position = match.end()
    return (*left, *weights[position:])
