from __future__ import annotations

import random

import pytest

from demo import examples
from demo.examples import EXAMPLES, Example, ToyBox
from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.toybox.dataset import HELD_OUT, NOUNS


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.prompt)
def test_examples_name_toys_that_were_never_trained_on(example: Example) -> None:
    find_words(example.prompt, [noun for noun, _ in example.toys])
    assert all(noun in NOUNS and seed >= HELD_OUT for noun, seed in example.toys)


def test_an_example_brings_photos_of_each_toy() -> None:
    filling = EXAMPLES[0].filling()
    assert [toy.name for toy in filling.subjects] == ["cat", "robot"]
    assert all(len(toy.photos) == examples.PHOTOS for toy in filling.subjects)
    first, second, *_ = filling.subjects[0].photos
    assert first.tobytes() != second.tobytes()


def test_the_die_never_shows_a_toy_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def photos(noun: str, seed: int, views: int, size: int) -> list[object]:
        asked.append((noun, seed))
        return []

    monkeypatch.setattr(examples, "toy_photos", photos)
    box = ToyBox(random.Random(0))
    for _ in range(50):
        box.roll()
    assert all(seed >= HELD_OUT for _, seed in asked)
    assert len(set(asked)) > 45
    assert len({noun for noun, _ in asked}) > len(NOUNS) // 2


def test_the_die_keeps_the_name_that_was_typed() -> None:
    box = ToyBox(random.Random(0))
    assert box.roll("Kitten").name == "Kitten"
    assert box.roll("wizard").name in NOUNS


def test_a_suggested_prompt_names_the_toy() -> None:
    prompt = ToyBox(random.Random(0)).prompt_for("elephant")
    assert prompt.startswith("an elephant ")
    assert examples.vocabulary().count(",") >= len(NOUNS) - 1
