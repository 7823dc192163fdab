"""Noun phrases of captions as captioners write them."""

from __future__ import annotations

import pytest

from mmdiff_core.training.annotate.noun_phrases import noun_phrases


@pytest.mark.parametrize(
    ("caption", "phrases"),
    [
        ("a black cat sitting next to a dog on a wooden bench", ["a black cat", "a dog", "a wooden bench"]),
        ("there is a man riding his bike down the street", ["a man", "his bike", "the street"]),
        ("a woman wearing a red hat and holding an umbrella", ["a woman", "a red hat", "an umbrella"]),
        ("two dogs and a cat in the snow", ["a cat", "the snow"]),
        ("a group of people standing around a table", ["a table"]),
        ("cat on the beach", ["cat", "the beach"]),
        ("A teddy bear's picnic, with a cake.", ["A teddy bear's picnic", "a cake"]),
        ("a running dog in front of a tall building", ["a running dog", "a tall building"]),
        ("a close up of a parrot", ["a parrot"]),
        ("the dog is black", ["the dog"]),
        ("a well-known T-shirt is on the left", ["a well-known T-shirt"]),
        ("standing in the rain", ["the rain"]),
        ("", []),
        ("...", []),
        ("many people", []),
        ("a", []),
    ],
)
def test_phrases(caption: str, phrases: list[str]) -> None:
    assert [caption[start:end] for start, end in noun_phrases(caption)] == phrases
