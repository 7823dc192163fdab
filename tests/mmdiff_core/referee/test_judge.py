"""The referee that ships: small enough, and right about renders, among them some on which it must say "swapped"."""

from __future__ import annotations

import random

import pytest
import torch

from mmdiff_core.referee.judge import judge, judge_photos
from mmdiff_core.referee.metrics import attribute_similarity, swapped
from mmdiff_core.referee.network import FILE, Referee, load_referee
from mmdiff_core.toyworld.bodies.solids import Builder
from mmdiff_core.toyworld.bodies.toys import CLASSES, Toy, make_toy
from mmdiff_core.toyworld.render.colours import ToyAttributes, draw_attributes
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT, random_scene, reference_scene, scene_of
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD

PAIRS = 96  # so many that the shares below are known to about three in a hundred


@pytest.fixture(scope="module")
def referee() -> Referee:
    return load_referee()


def test_it_is_small_and_knows_the_whole_world(referee: Referee) -> None:
    assert FILE.stat().st_size <= 12e6
    assert sum(parameter.numel() for parameter in referee.parameters()) <= 6e6
    referee.config.check_knows(WHOLE_WORLD)


def painted(class_name: str, seed: int, attributes: ToyAttributes) -> Toy:
    """The toy of a noun and seed in the colours and pattern of another."""
    rng = random.Random(f"toy:{class_name}:{seed}")
    draw_attributes(rng)  # its own
    builder = Builder(attributes)
    CLASSES[class_name].build(builder, rng)
    return Toy(class_name, seed, attributes, builder.finish(CLASSES[class_name].heading))


def swaps(referee: Referee, exchanged: bool) -> list[bool]:
    """Verdicts about pictures of two toys, as they are or each in the other's paint."""
    found: list[bool] = []
    for number in range(PAIRS):
        rng = random.Random(f"exchange:{number}")
        classes = rng.sample(FIRST_WORLD.classes, 2)
        toys = [make_toy(class_name, HELD_OUT + 70_000 + number) for class_name in classes]
        attributes = [toy.attributes for toy in toys]
        shown = [
            painted(t.class_name, t.seed, attributes)
            for t, attributes in zip(toys, attributes[:: -1 if exchanged else 1], strict=True)
        ]
        scene = scene_of(rng, shown, rng.choice(WHOLE_WORLD.backgrounds), vocabulary=WHOLE_WORLD)
        photos = [
            judge_photos(referee, render([reference_scene(rng, t)], 96).images, t.class_name).attributes for t in toys
        ]
        judgement = judge(referee, render([scene], 96).images, [classes])[0]
        if all(judgement.found):
            found += swapped(
                attribute_similarity(judgement.attributes, [torch.cat(parts) for parts in zip(*photos, strict=True)])
            )
    assert len(found) >= 1.5 * PAIRS
    return found


@pytest.mark.slow
def test_exchanged_looks_are_called_swapped_and_others_are_not(referee: Referee) -> None:
    wrong, right = swaps(referee, exchanged=True), swaps(referee, exchanged=False)
    assert sum(wrong) >= 0.95 * len(wrong)  # measured 1.00
    assert sum(right) <= 0.03 * len(right)  # measured 0.00


def test_both_toys_of_a_picture_are_seen_and_no_others(referee: Referee) -> None:
    rng = random.Random("present")
    scenes = [random_scene(rng, 2, "held_out", FIRST_WORLD) for _ in range(PAIRS)]
    scenes = [scene for scene in scenes if len({toy.toy.class_name for toy in scene.toys}) == 2]
    named = [[toy.toy.class_name for toy in scene.toys] for scene in scenes]
    absent = [
        rng.sample([class_name for class_name in WHOLE_WORLD.classes if class_name not in classes], 2)
        for classes in named
    ]
    pictures = render(scenes, 96).images
    seen = [judgement.present for judgement in judge(referee, pictures, named)]
    alarms = [judgement.present for judgement in judge(referee, pictures, absent)]
    assert sum(map(all, seen)) >= 0.95 * len(scenes)  # measured 1.00
    assert sum(map(any, alarms)) <= 0.03 * len(scenes)  # measured 0.00, of two nouns that are not there


def test_painting_a_toy_in_its_own_look_is_the_toy() -> None:
    toy = make_toy("cat", HELD_OUT)
    assert painted("cat", HELD_OUT, toy.attributes) == toy
