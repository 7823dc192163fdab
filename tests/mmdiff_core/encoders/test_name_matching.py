"""Names as people's keyboards write them stand in a text, and no sign is found inside another."""

from __future__ import annotations

import pytest

from mmdiff_core.encoders.name_matching import (
    WORD,
    distinct_names,
    fold,
    nearest_span,
    occurrences,
    without_blank_edges,
    without_invisible_signs,
)

ZERO_WIDTH, SOFT_HYPHEN, MARK, BYTE_ORDER = "\u200b", "\u00ad", "\u200e", "\ufeff"
WOMAN, ASTRONAUT, DARK_WOMAN = "👩", "👩‍🚀", "👩🏿"


def _found(text: str, name: str) -> list[str]:
    return [text[start:end] for start, end in occurrences(text, name)]


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("a house in the STRASSE", "straße", ["STRASSE"]),
        ("eine Straße", "STRASSE", ["Straße"]),
        ("tom’s cat", "Tom's cat", ["tom’s cat"]),
        ("tom's cat", "tom’s cat", ["tom's cat"]),
        ("the R2‑D2 unit", "r2-d2", ["R2‑D2"]),
        ("a ｃａｔ", "cat", ["ｃａｔ"]),
        ("a cafe\u0301", "CAFÉ", ["cafe\u0301"]),
        ("a black\u00a0\n cat", "black cat", ["black\u00a0\n cat"]),
        ("a cat", f"{BYTE_ORDER}ca{SOFT_HYPHEN}t{ZERO_WIDTH}", ["cat"]),
        (f"a c{ZERO_WIDTH}at{MARK}", "cat", [f"c{ZERO_WIDTH}at"]),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ", ["Σίσυφος"]),
        ("(cat:1.3)", "cat", ["cat"]),
        ("ein cat在海滩上", "cat", ["cat"]),
        ("แมวบนชายหาด", "แมว", ["แมว"]),
        ("a 🐱🐶", "🐱", ["🐱"]),
        ("घर में", "घर", ["घर"]),
    ],
)
def test_what_reads_alike_is_found(text: str, name: str, found: list[str]) -> None:
    assert _found(text, name) == found


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"a {ASTRONAUT}", WOMAN),
        (f"a {DARK_WOMAN}", WOMAN),
        ("🇩🇪", "🇩"),
        ("घरों में", "घर"),  # a vowel sign belongs to the letter before it
        ("नमस्ते", "नमस"),
        ("cafe\u0301", "cafe"),
        ("ﬁsh", "f"),
        ("straße", "stras"),
        ("category", "cat"),
        ("cat-like", "cat"),
        ("cat‑like", "cat"),
        ("a cat", ""),
        ("a cat", ZERO_WIDTH),
    ],
)
def test_nothing_is_found_inside_a_sign_or_a_word(text: str, name: str) -> None:
    assert _found(text, name) == []


def test_every_place_is_found_once() -> None:
    assert occurrences("cat, Cat and CAT", "cat") == [(0, 3), (5, 8), (13, 16)]


def test_a_name_of_invisible_signs_is_empty() -> None:
    assert fold(f" {ZERO_WIDTH}{SOFT_HYPHEN} ") == ""
    assert without_blank_edges(f"{ZERO_WIDTH} a  cat\u3000{BYTE_ORDER}\n") == "a  cat"
    assert without_blank_edges("❤️") == "❤️"  # with the selector that makes it red


def test_joiners_stay_inside_a_sign() -> None:
    assert without_invisible_signs(f"{BYTE_ORDER}a {ASTRONAUT} c{ZERO_WIDTH}a{SOFT_HYPHEN}t") == f"a {ASTRONAUT} cat"


def test_words_of_any_script() -> None:
    text = f"Tom’s cat-like घरों, {ASTRONAUT} R2-D2!"
    assert WORD.findall(text) == ["Tom’s", "cat-like", "घरों", ASTRONAUT, "R2-D2"]


@pytest.mark.parametrize(
    ("text", "name", "near"),
    [
        ("two cats on the beach", "cat", "cats"),
        ("a catt on the beach", "cat", "catt"),
        ("a cat on the beach", "catt", "cat"),
        ("a cat on the beach", "(cat:1.3)", "cat"),
        ("a cat’s nap", "cats", "cat’s"),
        ("two puppies", "puppy", "puppies"),
        ("eine Katze", "Katzen", "Katze"),
        ("a black catt", "black cat", "black catt"),
        ("a car on the beach", "cat", None),
        ("a category", "cat", None),
        ("a dog", "cat", None),
        ("", "cat", None),
        ("a dog", "1.3", None),
        ("a dog", "", None),
    ],
)
def test_the_nearest_words(text: str, name: str, near: str | None) -> None:
    span = nearest_span(text, name)
    assert (text[slice(*span)] if span else None) == near


def test_words_that_are_taken_are_not_near() -> None:
    assert nearest_span("a catt and cats", "cat", taken=[(2, 6)]) == (11, 15)
    assert nearest_span("cats", "cat", taken=[(0, 4)]) is None


def test_a_long_text_takes_no_long_time() -> None:
    """Only the first words are compared."""
    assert nearest_span("dog " * 100_000 + "cats", "cat") is None


def test_names_alike_are_numbered() -> None:
    assert distinct_names(["cat", "dog", "Cat"]) == ("cat 1", "dog", "Cat 2")
    assert distinct_names([]) == ()
