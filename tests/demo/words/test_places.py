"""Places that the model does not know: where they are in a prompt, and what they are like."""

from __future__ import annotations

import pytest

from demo.words.places import near_places, place_span
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS
from mmdiff_core.toyworld.scenes.known_phrases import KnownPhrases
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD

KNOWN = KnownPhrases(FIRST_WORLD)


@pytest.mark.parametrize(
    ("prompt", "unknown", "phrase"),
    [
        ("a cat in New York", "New York", "in New York"),
        ("a cat in New York City", "New York", "in New York City"),
        ("a cat is flying over Paris, at night", "Paris", "over Paris"),
        ("a cat near the Eiffel Tower", "Eiffel Tower", "near the Eiffel Tower"),
        ("a cat in his very own house", "own house", "in his very own house"),
        ("a cat with a sword", "sword", None),
        ("a cat, Berlin", "Berlin", None),
        ("Berlin", "Berlin", None),
    ],
)
def test_a_place_begins_with_its_preposition(prompt: str, unknown: str, phrase: str | None) -> None:
    start = prompt.index(unknown)
    span = place_span(prompt, (start, start + len(unknown)), KNOWN)
    assert (span and prompt[slice(*span)]) == phrase


@pytest.mark.parametrize(
    ("phrase", "nearest"),
    [
        ("over New York", "in the city at night"),
        ("in a small house", "in the bedroom"),
        ("at the pool", "on the beach"),
        ("on Mars", "in space"),
        ("on a fence", "on the beach"),  # like none: with the same preposition
    ],
)
def test_the_nearest_place_comes_first(phrase: str, nearest: str) -> None:
    places = near_places(phrase, KNOWN)
    assert places[0] == nearest
    assert sorted(places) == sorted(KNOWN.backgrounds)


def test_every_background_is_like_something() -> None:
    everything = KnownPhrases(WHOLE_WORLD)
    assert near_places("in the restaurant", everything)[0] == "in the kitchen"
    assert set(WHOLE_WORLD.backgrounds) <= BACKGROUND_WORDS.keys()
