from __future__ import annotations

import pytest

from demo.words.prompt_edits import PhraseKind, add_phrase, add_word, replace_word, with_subject
from mmdiff_core.toyworld.scenes.known_phrases import KnownPhrases
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD

KNOWN = KnownPhrases(WHOLE_WORLD)


@pytest.mark.parametrize(
    ("prompt", "name", "longer"),
    [
        ("", "cat", "a cat"),
        ("a cat", "owl", "a cat and an owl"),
        ("a cat on the beach.", "bear", "a cat and a bear on the beach."),
        ("a cat on a coral reef", "bear", "a cat and a bear on a coral reef"),
        ("A cat, IN THE SNOW", "bear", "A cat and a bear IN THE SNOW"),
        ("in the snow, a cat", "bear", "in the snow, a cat and a bear"),
        ("a cat in the snow next to a dog", "bear", "a cat in the snow next to a dog and a bear"),
        ("a cat on the roof, ", "bear", "a cat on the roof and a bear"),  # a place that no caption names
        ("a cat next to", "bear", "a cat next to a bear"),
        ("a cat behind in space", "bear", "a cat behind a bear in space"),
        ("a cat in the forest", "cat", "a cat and another cat in the forest"),
    ],
)
def test_one_more_subject(prompt: str, name: str, longer: str) -> None:
    assert add_word(prompt, name) == longer


@pytest.mark.parametrize(
    ("prompt", "kind", "phrase", "changed"),
    [
        ("a cat in space", "toy", "rocket", "a cat and a rocket in space"),
        ("a cat", "place", "on the beach", "a cat on the beach"),
        ("a cat in the snow", "place", "on the beach", "a cat on the beach"),
        ("a cat among the trees.", "place", "in space", "a cat in space."),
        ("a cat and a dog", "relation", "behind", "a cat behind a dog"),
        ("a cat to the left of a dog", "relation", "next to", "a cat next to a dog"),
        ("a cat", "relation", "next to", "a cat next to"),
        ("a cat", "style", "pixel art of", "pixel art of a cat"),
        ("a sketch of a cat", "style", "pixel art of", "pixel art of a cat"),
        ("", "place", "on the beach", "on the beach"),
    ],
)
def test_a_phrase_takes_the_place_of_another_of_its_kind(
    prompt: str, kind: PhraseKind, phrase: str, changed: str
) -> None:
    assert add_phrase(prompt, kind, phrase, KNOWN) == changed


def test_phrases_of_another_vocabulary_stay() -> None:
    known = KnownPhrases(FIRST_WORLD)
    assert add_phrase("a cat in the kitchen", "place", "in space", known) == "a cat in the kitchen in space"


@pytest.mark.parametrize(
    ("prompt", "old", "new", "changed"),
    [
        ("a cat on the beach", "cat", "elephant", "an elephant on the beach"),
        ("an OWL and the cat", "owl", "bear", "a bear and the cat"),
        ("an owl and the cat", "cat", "bear", "an owl and the bear"),
        ("cat", "cat", "bear", "bear"),
    ],
)
def test_one_subject_in_place_of_another(prompt: str, old: str, new: str, changed: str) -> None:
    assert replace_word(prompt, old, new) == changed


@pytest.mark.parametrize(
    ("prompt", "old", "new", "others", "changed"),
    [
        ("a cat in space", "", "cat", ["dog"], "a cat in space"),
        ("a cat in space", "", "cat", ["cat"], "a cat and another cat in space"),
        ("a dragon in space", "dragon", "owl", [], "an owl in space"),
        ("a dragon in space", "dragon", "owl", ["Dragon"], "a dragon and an owl in space"),
    ],
)
def test_a_subject_with_another_word(prompt: str, old: str, new: str, others: list[str], changed: str) -> None:
    assert with_subject(prompt, old, new, others) == changed
