from __future__ import annotations

import pytest

from demo.words.english import Translator, in_english, with_article
from mmdiff_core.encoders.name_matching import WORD
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD

TRANSLATOR = Translator.of(WHOLE_WORLD)


def _english(prompt: str, translator: Translator = TRANSLATOR) -> str:
    words = [match.span() for match in WORD.finditer(prompt)]
    return in_english(prompt, translator.find(prompt, words))


@pytest.mark.parametrize(
    ("prompt", "english"),
    [
        ("ein Hund hinter einer Ente auf der Wiese", "a dog behind a duck in the meadow"),
        ("una tortuga delante de un búho bajo el agua", "a turtle in front of an owl under water"),
        ("un búho y un pez bajo el agua.", "an owl and a fish under water."),
        ("一头大象和一只猫头鹰在厨房里", "an elephant and an owl in the kitchen"),
        ("ein roter Hund und ein blaues Auto", "a red dog and a blue car"),
        ("eine rote Katze", "a red cat"),
        ("una tortuga verde", "a turtle green"),
        ("zwei Hunde im Schnee", "zwei dog in the snow"),
        ("a cat on the beach", "a cat on the beach"),
    ],
)
def test_known_words_are_put_into_english(prompt: str, english: str) -> None:
    assert _english(prompt) == english


def test_longer_phrases_come_first() -> None:
    assert _english("猫头鹰") == "owl"  # not a cat's head


def test_a_vocabulary_has_its_own_words_alone() -> None:
    assert _english("eine Eule im Wald", Translator.of(FIRST_WORLD)) == "an Eule in the forest"
    assert _english("eine Eule", Translator()) == "eine Eule"


def test_only_unknown_words_are_translated() -> None:
    assert TRANSLATOR.find("un gato", []) == []
    assert TRANSLATOR.find("un gato", [(3, 7)]) == [((3, 7), "cat")]


def test_articles() -> None:
    assert [with_article(name) for name in ("owl", "Elephant", "cat", "")] == ["an owl", "an Elephant", "a cat", "a "]
