"""Numbers before toys, and the words that name each of them."""

from __future__ import annotations

import pytest

from demo.words.counted_toys import counted_toys, is_number
from mmdiff_core.toyworld.scenes.known_phrases import KnownPhrases
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD

KNOWN = KnownPhrases(WHOLE_WORLD)


@pytest.mark.parametrize(
    ("prompt", "counted", "phrases"),
    [
        ("two cats on the beach", "two cats", ["a cat and another cat"]),
        ("the two elephants", "the two elephants", ["an elephant and another elephant"]),
        ("a pair of red robots in the snow", "a pair of red robots", ["a red robot and another red robot"]),
        ("2 fish", "2 fish", ["a fish and another fish"]),
        ("3 kittens", "3 kittens", ["a kitten, another kitten and another kitten"]),
        ("many owls", "many owls", ["an owl and another owl", "an owl, another owl and another owl"]),
        ("12 ducks", "12 ducks", ["a duck and another duck", "a duck, another duck and another duck"]),
    ],
)
def test_toys_are_counted(prompt: str, counted: str, phrases: list[str]) -> None:
    (toys,) = counted_toys(prompt, KNOWN)
    assert (prompt[slice(*toys.span)], list(toys.phrases)) == (counted, phrases)
    assert prompt[slice(*toys.noun)].startswith(toys.toy)


@pytest.mark.parametrize(
    "prompt", ["a cat and two", "two", "two hats", "two, cats", "ten castles and a cat", "1 cat", "a cat"]
)
def test_other_numbers_count_no_toys(prompt: str) -> None:
    assert list(counted_toys(prompt, KNOWN)) == []


def test_numbers_are_more_than_one() -> None:
    assert [word for word in ("two", "Ten", "12", "1", "0", "a", "cat") if is_number(word)] == ["two", "Ten", "12"]
