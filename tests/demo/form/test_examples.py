from __future__ import annotations

import random

import pytest

from demo.form import examples
from demo.form.examples import EXAMPLES, RandomToys, StudioExample
from demo.studio.model_list import known_chips, toys_note
from demo.web.i18n import texts_of
from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.toyworld.bodies.toys import CLASS_NAMES
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD, Vocabulary


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.prompt)
def test_examples_name_toys_that_were_never_trained_on(example: StudioExample) -> None:
    find_words(example.prompt, [noun for noun, _ in example.toys])
    assert any(words in example.prompt for words in BACKGROUND_WORDS[example.place])
    assert example.style == "photo" or example.style in example.prompt
    assert all(noun in CLASS_NAMES and seed >= HELD_OUT for noun, seed in example.toys)


def test_an_example_brings_photos_of_each_toy() -> None:
    filling = EXAMPLES[0].content()
    assert filling.seed == EXAMPLES[0].seed
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
    box = RandomToys(random.Random(0))
    for _ in range(50):
        box.draw()
    assert all(seed >= HELD_OUT for _, seed in asked)
    assert len(set(asked)) > 45
    assert len({noun for noun, _ in asked}) > len(CLASS_NAMES) // 2


def test_the_die_keeps_the_name_that_was_typed() -> None:
    box = RandomToys(random.Random(0))
    assert box.draw("Kitten").name == "Kitten"
    assert box.draw("wizard").name in CLASS_NAMES


def test_a_suggested_prompt_names_the_toy() -> None:
    prompt = RandomToys(random.Random(0)).prompt_for("elephant")
    assert prompt.startswith("an elephant ")


def test_the_page_offers_only_what_the_loaded_weights_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "toy_photos", lambda noun, seed, views, size: [])
    known = Vocabulary(("owl", "train"), ("sunset", "stage"), ("photo", "pixel art"))
    box = RandomToys(random.Random(0), known)
    assert {box.draw().name for _ in range(30)} == {"owl", "train"}
    assert box.draw("kitten").name in known.classes
    assert {box.prompt_for("owl") for _ in range(30)} == {"an owl at sunset", "an owl on the stage"}
    assert [example.prompt for example in examples.examples_for(known)] == ["pixel art of a train at sunset"]
    phrases = examples.known_phrases(known)
    assert {kind: list(known) for kind, known in phrases.items()} == {
        "toy": ["owl", "train"],
        "place": ["at sunset", "on the stage"],
        "relation": ["next to", "to the left of", "to the right of", "in front of", "behind"],
        "style": ["pixel art of"],
    }
    chips = known_chips(known, texts_of("en"))
    for kind, known_phrases in phrases.items():
        assert all(f'data-kind="{kind}" data-known="{phrase}"' in chips for phrase in known_phrases)
    assert "makes toys: owl, train." in toys_note(known, texts_of("en"))


def test_chips_write_english_and_explain_themselves_in_the_page_s_language() -> None:
    german = texts_of("de")
    chips = known_chips(FIRST_WORLD, german)
    assert 'data-known="rabbit">rabbit <small>Hase</small>' in chips
    assert 'data-known="robot">robot <small>Roboter</small>' in chips
    assert "Katze, Hund, Hase" in toys_note(FIRST_WORLD, german)
    assert "<small>" not in known_chips(FIRST_WORLD, texts_of("en"))
    assert 'value="style"' not in chips  # these weights know photos alone


def test_examples_of_the_first_weights_and_of_all() -> None:
    known = examples.examples_for(FIRST_WORLD)
    assert len(known) == 6
    assert None not in [example.seed for example in known]
    assert examples.examples_for(WHOLE_WORLD) == EXAMPLES


def test_a_model_of_the_wide_world_is_offered_everything() -> None:
    known = examples.vocabulary_of(object())
    assert known is None
    assert known_chips(known, texts_of("en")) == toys_note(known, texts_of("en")) == ""
    assert not RandomToys(known=known).limited
    assert examples.examples_for(known) == EXAMPLES
    assert RandomToys(known=known).known == WHOLE_WORLD
