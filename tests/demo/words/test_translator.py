"""Prompts in the page's other languages: the whole of each becomes English."""

from __future__ import annotations

import pytest

from demo.words.translator import Translator
from demo.words.word_notes import WordReader
from mmdiff_core.encoders.name_matching import WORD
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD

TRANSLATOR = Translator()
READERS = [WordReader(FIRST_WORLD), WordReader(WHOLE_WORLD)]


def _english(prompt: str, reader: WordReader = READERS[0]) -> str:
    translation = TRANSLATOR.translate(prompt, list(reader.unknown(prompt)))
    return "" if translation is None else translation.text


@pytest.mark.parametrize("reader", READERS, ids=["first", "whole"])
@pytest.mark.parametrize(
    ("prompt", "english"),
    [
        ("ein Hund hinter einer Ente auf der Wiese", "a dog behind a duck in the meadow"),
        ("eine Katze neben einem Elefanten am Strand", "a cat next to an elephant on the beach"),
        ("Katze auf dem Strand", "a cat on the beach"),
        ("die Katze mit rotem Hut", "the cat with a red hat"),
        ("ein rotes Auto in der Stadt bei Nacht", "a red car in the city at night"),
        ("zwei Hunde im Schnee", "a dog and another dog in the snow"),
        ("dos gatos rojos", "a red cat and another red cat"),
        ("Ein HUND, im Schnee", "a dog, in the snow"),
        ("una tortuga delante de un búho bajo el agua", "a turtle in front of an owl under water"),
        ("un búho y un pez bajo el agua.", "an owl and a fish under water."),
        ("una tortuga verde", "a green turtle"),
        ("un gato rojo y azul en la playa", "a red and blue cat on the beach"),
        ("el gato al lado del perro", "the cat next to a dog"),
        ("un robot rojo", "a red robot"),
        ("eine Eule im Wald", "an owl in the forest"),
        ("a photo of a Katze on the beach", "a photo of a cat on the beach"),
        ("a (Katze) am Strand", "a (a cat) on the beach"),
        ("eine Katze am Strand 🐱", "a cat on the beach 🐱"),
        ("un gato en la playa, bonito", "a cat on the beach, bonito"),
        ("Katze am Strand schön", "a cat on the beach schön"),
    ],
)
def test_known_words_are_put_into_english(prompt: str, english: str, reader: WordReader) -> None:
    assert _english(prompt, reader) == english


@pytest.mark.parametrize(
    ("prompt", "english"),
    [
        ("海滩上的 a cat", "a cat on the beach"),
        ("海滩上的一只猫", "a cat on the beach"),
        ("一只海滩上的猫", "a cat on the beach"),
        ("在海滩上有一只猫", "a cat on the beach"),
        ("一只猫坐在沙滩上", "a cat on the beach"),
        ("海滩上的猫和狗", "a cat and a dog on the beach"),
        ("雪地里的狗和森林里的兔子", "a dog in the snow and a rabbit in the forest"),
        ("一只红色的猫，在海滩上。", "a red cat, on the beach."),
        ("红色和蓝色的猫", "a red and blue cat"),
        ("猫在机器人旁边", "a cat next to a robot"),
        ("狗旁边的猫", "a cat next to a dog"),
        ("一只猫右边是一只狗", "a cat to the left of a dog"),
        ("戴着红色帽子的猫在雪地里", "a cat wearing a red hat in the snow"),
        ("一只猫戴着红色帽子", "a cat wearing a red hat"),
        ("一头大象和一只猫头鹰在厨房里", "an elephant and an owl in the kitchen"),
        ("两只猫在海滩上", "a cat and another cat on the beach"),
        ("猫头鹰", "an owl"),  # not a cat's head
        ("海滩上的马", "a 马 on the beach"),  # what has no translation stays
        ("熊猫在森林里", "熊猫 in the forest"),  # neither a bear nor a cat
        ("一只可爱的猫在海滩上", "a 可爱 cat on the beach"),
        ("可爱的猫", "a 可爱 cat"),
        ("a cat next to 狗", "a cat next to a dog"),
    ],
)
def test_chinese_gets_the_order_of_english(prompt: str, english: str) -> None:
    assert _english(prompt) == english


@pytest.mark.parametrize("prompt", ["a cat on the beach", "a cat that will die", "a boot in a castle", "a rot hat", ""])
def test_english_stays(prompt: str) -> None:
    assert _english(prompt) == ""


def test_only_unknown_words_are_translated_and_each_says_what_it_was() -> None:
    assert TRANSLATOR.translate("un gato", []) is None
    translation = TRANSLATOR.translate("un gato", [(3, 7)])
    assert translation is not None
    assert (translation.text, translation.words) == ("un cat", {(3, 7): "cat"})


def test_a_list_gets_no_articles() -> None:
    listed = "Hund、sky，一只猫, am Strand"
    items = [(0, 4), (5, 8), (9, 12), (14, 23)]
    unknown = [match.span() for match in WORD.finditer(listed)]
    translation = TRANSLATOR.translate_list(listed, items, unknown)
    assert translation is not None
    assert translation.text == "dog, sky, cat, on the beach"
    assert TRANSLATOR.translate_list("sky", [(0, 3)], [(0, 3)]) is None
