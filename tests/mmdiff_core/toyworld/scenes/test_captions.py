"""Captions: names in the order of the toys, attributes in the detailed ones, and words that mean one thing only."""

from __future__ import annotations

import random
import re

import pytest

from mmdiff_core.toyworld import BACKGROUND_NAMES, CLASS_NAMES
from mmdiff_core.toyworld.render.colours import COLOURS
from mmdiff_core.toyworld.render.styles import PHOTO, STYLES
from mmdiff_core.toyworld.scenes.captions import (
    BACKGROUND_WORDS,
    CLASS_WORDS,
    STYLE_WORDS,
    arrangement_of,
    random_colour,
)
from tests.helpers.toy_scenes import scenes


def occurrence(text: str, name: str, nth: int) -> int:
    """Where the n-th occurrence of a name begins, counted in whole words."""
    found = list(re.finditer(rf"\b{re.escape(name)}\b", text))
    assert len(found) > nth, (text, name, nth)
    return found[nth].start()


def test_there_are_words_for_everything() -> None:
    assert len(set(CLASS_NAMES)) == len(CLASS_NAMES) >= 22
    assert len(set(BACKGROUND_NAMES)) == len(BACKGROUND_NAMES) >= 12
    assert len(set(STYLES)) == len(STYLES) >= 4
    assert set(CLASS_WORDS) == set(CLASS_NAMES)
    assert set(BACKGROUND_WORDS) == set(BACKGROUND_NAMES)
    assert {PHOTO, *STYLE_WORDS} == set(STYLES)


def test_names_are_found_in_both_captions_in_the_order_of_the_toys() -> None:
    for scene in scenes(400, 1):
        caption = scene.caption
        for text in (caption.text, caption.detailed):
            starts = [occurrence(text, n, caption.names[:i].count(n)) for i, n in enumerate(caption.names)]
            assert len(set(starts)) == len(starts)
            assert starts == sorted(starts)
        for name, placed in zip(caption.names, scene.toys, strict=True):
            assert name in CLASS_WORDS[placed.toy.class_name]


def test_detailed_captions_have_the_colours_and_short_ones_have_not() -> None:
    for scene in scenes(200, 2):
        worn = {placed.wearing.colour for placed in scene.toys if placed.wearing}
        for placed in scene.toys:
            main, second, _ = placed.toy.attributes.colour_names
            assert main in scene.caption.detailed
            assert second in scene.caption.detailed
        text = scene.caption.text
        for phrase in BACKGROUND_WORDS[scene.background]:  # "on a green hill" is no toy's colour
            text = text.replace(phrase, "")
        assert {colour for colour in COLOURS if re.search(rf"\b{colour}\b", text)} == worn


def test_classes_have_words_of_their_own() -> None:
    words = [word for synonyms in CLASS_WORDS.values() for word in synonyms]
    assert len(set(words)) == len(words)


def test_words_of_backgrounds_and_styles_name_one_thing_only_and_no_toy() -> None:
    words = [phrase for phrases in BACKGROUND_WORDS.values() for phrase in phrases]
    words += [phrase for before, after in STYLE_WORDS.values() for phrase in (*before, *after)]
    assert len(set(words)) == len(words)
    classes = {word for synonyms in CLASS_WORDS.values() for word in synonyms}
    assert not [(w, n) for w in words for n in classes if re.search(rf"\b{n}\b", w)]


def test_two_toys_of_one_class_have_the_same_name() -> None:
    twins = [s for s in scenes(200, 3, subjects=2) if s.toys[0].toy.class_name == s.toys[1].toy.class_name]
    assert twins
    for scene in twins:
        assert scene.caption.names[0] == scene.caption.names[1]
        assert f"another {scene.caption.names[1]}" in scene.caption.text


def test_accessories_are_named() -> None:
    worn = [placed for scene in scenes(300, 7) for placed in scene.toys if placed.wearing]
    assert worn
    for scene in scenes(300, 7):
        for placed in scene.toys:
            if placed.wearing:
                article = "an" if placed.wearing.colour[0] in "aeiou" else "a"
                assert f"wearing {article} {placed.wearing.colour} {placed.wearing.kind}" in scene.caption.text


def test_captions_name_every_style_but_the_photo() -> None:
    for scene in scenes(600, 12):
        for text in (scene.caption.text, scene.caption.detailed):
            named = {
                style
                for style, (before, after) in STYLE_WORDS.items()
                for words in (*before, *after)
                if re.search(rf"(^|\s){re.escape(words)}(,|\s|$)", text)
            }
            assert named == ({scene.style} - {PHOTO}), text


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, {"beside"}), (2, {"beside", "left", "right", "front", "behind"}), (3, {"beside", "between"})],
)
def test_arrangements_suit_the_number_of_toys(count: int, expected: set[str]) -> None:
    rng = random.Random(0)
    assert {arrangement_of(rng, count) for _ in range(200)} == expected


def test_accessories_have_no_earthy_colours() -> None:
    rng = random.Random(0)
    assert {random_colour(rng) for _ in range(300)} == set(COLOURS) - {"brown", "grey"}
