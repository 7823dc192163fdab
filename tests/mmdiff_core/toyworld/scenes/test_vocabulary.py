"""Vocabularies: the whole world, the first one, and what a model folder says."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from mmdiff_core.errors import ModelError, SettingsError
from mmdiff_core.toyworld import BACKGROUND_NAMES, CLASS_NAMES, random_scene, reference_scene, render
from mmdiff_core.toyworld.bodies.toys import ACCESSORIES
from mmdiff_core.toyworld.render.styles import STYLES
from mmdiff_core.toyworld.scenes.vocabulary import (
    FIRST_WORLD,
    WHOLE_WORLD,
    Vocabulary,
    load_vocabulary,
    save_vocabulary,
)

RECORDED_CAPTIONS = [
    "a car left of a bear in space",
    "a robot beside a puppy in a field of flowers",
    "a rabbit on the moon",
    "a car in the hot desert",
]
RECORDED_MEANS = [0.3320, 0.2563, 0.3601, 0.4827, 0.6626, 0.5901, 0.2981, 0.3021, 0.3646, 0.7888, 0.5528, 0.3842]


def test_the_whole_world_is_all_that_can_be_drawn_and_contains_the_first() -> None:
    assert Vocabulary(CLASS_NAMES, BACKGROUND_NAMES, STYLES, ACCESSORIES) == WHOLE_WORLD
    for field, words in FIRST_WORLD.to_json().items():
        assert set(words) < set(WHOLE_WORLD.to_json()[field])


def test_scenes_keep_to_their_vocabulary() -> None:
    known = Vocabulary(("owl", "cat", "train"), ("stage", "beach"), ("pixel art", "watercolour"), ("crown",))
    rng = random.Random(0)
    drawn = [random_scene(rng, vocabulary=known) for _ in range(300)]
    assert {placed.toy.class_name for scene in drawn for placed in scene.toys} == set(known.classes)
    assert {scene.background for scene in drawn} == set(known.backgrounds)
    assert {scene.style for scene in drawn} == set(known.styles)
    assert {p.wearing.kind for scene in drawn for p in scene.toys if p.wearing} == {"crown"}
    photos = [reference_scene(rng, scene.toys[0].toy, scene, known) for scene in drawn]
    assert {photo.background for photo in photos} == set(known.backgrounds)


def test_scenes_of_the_first_world_are_those_that_the_first_weights_saw() -> None:
    """Recorded when the shipped weights were trained; a change here makes them strangers."""
    rng = random.Random(11)
    drawn = [random_scene(rng, vocabulary=FIRST_WORLD) for _ in range(3)]
    photo = reference_scene(rng, drawn[0].toys[0].toy, drawn[0], FIRST_WORLD)
    assert [scene.caption.text for scene in (*drawn, photo)] == RECORDED_CAPTIONS
    images = render([*drawn, photo], 24).images
    assert images.mean((2, 3)).flatten().tolist() == pytest.approx(RECORDED_MEANS, abs=1 / 255)


def test_too_few_classes_are_refused() -> None:
    lonely = replace(FIRST_WORLD, classes=("penguin",), backgrounds=("desert",))
    assert all(len(random_scene(random.Random(i), None, "held_out", lonely).toys) == 1 for i in range(9))
    with pytest.raises(SettingsError, match=r"2 toys \(desert, photo\).*only 1 of"):
        random_scene(random.Random(0), 2, "held_out", lonely)
    with pytest.raises(SettingsError, match="only 0 of"):
        random_scene(random.Random(0), vocabulary=lonely)


def test_one_background_is_enough_for_photos() -> None:
    rng = random.Random(1)
    known = replace(FIRST_WORLD, backgrounds=("desert",))
    scene = random_scene(rng, 1, "held_out", known)
    assert reference_scene(rng, scene.toys[0].toy, scene, known).background == "desert"


@pytest.mark.parametrize("vocabulary", [FIRST_WORLD, WHOLE_WORLD])
def test_a_model_folder_keeps_its_vocabulary(vocabulary: Vocabulary, tmp_path: Path) -> None:
    save_vocabulary(vocabulary, tmp_path / "model")
    assert load_vocabulary(tmp_path / "model") == vocabulary


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"vocabulary\.json.*cannot be read"),
        ("{", r"vocabulary\.json.*cannot be read"),
        ("[]", r"vocabulary\.json.*cannot be read"),
        ('{"nouns": ["cat"]}', r"cannot be read.*places"),
        (json.dumps(replace(FIRST_WORLD, classes=("cat", "cow")).to_json()), r"names nouns that cannot be drawn: cow"),
        (json.dumps(replace(FIRST_WORLD, backgrounds=()).to_json()), r"names no places.*beach"),
    ],
)
def test_an_unusable_vocabulary_is_refused_in_a_sentence(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        load_vocabulary(tmp_path)
