from __future__ import annotations

import random
import re

from mmdiff_core.toyworld.scenes.known_phrases import KnownPhrases
from mmdiff_core.toyworld.scenes.random_scenes import random_scene
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD


def test_every_word_of_a_caption_is_known() -> None:
    rng = random.Random(0)
    for vocabulary in (FIRST_WORLD, WHOLE_WORLD):
        known = KnownPhrases(vocabulary).words
        for _ in range(400):
            caption = random_scene(rng, vocabulary=vocabulary).caption
            words = re.findall(r"[\w-]+", f"{caption.text} {caption.detailed}".lower())
            assert set(words) <= known


def test_a_vocabulary_has_its_own_phrases_alone() -> None:
    first, whole = KnownPhrases(FIRST_WORLD), KnownPhrases(WHOLE_WORLD)
    assert first.classes == FIRST_WORLD.classes
    assert first.backgrounds[:2] == ("on the beach", "in the snow")
    assert first.styles == ()
    assert whole.styles == ("a watercolour of", "a pencil sketch of", "pixel art of")
    assert {"owl", "kitchen", "watercolour", "crown", "mane"} <= whole.words - first.words
    assert first.relations == ("next to", "to the left of", "to the right of", "in front of", "behind")
    assert first.class_words["teddy bear"] == "bear"


def test_longer_phrases_come_first() -> None:
    known = KnownPhrases(WHOLE_WORLD)
    for phrases in (known.background_phrases, known.relation_phrases, known.style_phrases):
        assert list(phrases) == sorted(phrases, key=len, reverse=True)
    assert "standing next to" in known.relation_phrases
