from __future__ import annotations

import pytest

from demo.words.spelling import near_words, sign_name
from mmdiff_core.toyworld.scenes.known_phrases import KnownPhrases
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD
from tests.helpers.paths import ROOT

KNOWN = KnownPhrases(WHOLE_WORLD).words


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("catt", "cat"),
        ("cats", "cat"),
        ("kat", "cat"),
        ("dgo", "dog"),
        ("rabit", "rabbit"),
        ("bunnies", "bunny"),
        ("elefant", "elephant"),
        ("PINGUIN", "penguin"),
        ("star", "stars"),
        ("gray", "grey"),
        ("beech", "beach"),
        ("teepot", "teapot"),
        ("nite", "night"),
        ("cat", "cat"),
    ],
)
def test_a_slip_or_a_form_of_a_word(word: str, near: str) -> None:
    assert near_words(word, KNOWN) == [near]


@pytest.mark.parametrize(
    "word",
    [
        "chess",
        "coat",
        "house",
        "boot",
        "beard",
        "plant",
        "card",
        "mitten",
        "rocker",
        "act",
        "goat",
        "playing",
        "chat",
        "x",
    ],
)
def test_another_word_is_not_near(word: str) -> None:
    assert near_words(word, KNOWN) == []


def test_common_words_of_english_get_no_hint() -> None:
    words = (ROOT / "tests/fixtures" / "common_english_words.txt").read_text(encoding="utf-8").split()
    assert len(words) > 600
    assert {word: near for word in words if (near := near_words(word, KNOWN))} == {}


def test_what_a_pictograph_is_called() -> None:
    assert [sign_name(sign) for sign in ("🐱", "🏖️", "🏖", "cat", "1️⃣")] == [
        *("cat face", "beach with umbrella", "beach with umbrella", "", "")
    ]
