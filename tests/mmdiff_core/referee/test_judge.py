"""The referee that ships: small enough, and right about renders, among them some on which it must say "swapped"."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from mmdiff_core.errors import SettingsError
from mmdiff_core.referee.judge import judge, judge_photos, regions_of
from mmdiff_core.referee.metrics import attribute_similarity, swapped
from mmdiff_core.referee.network import FILE, Referee, RefereeOutput, load_referee
from mmdiff_core.toyworld.bodies.solids import Builder
from mmdiff_core.toyworld.bodies.toys import CLASSES, Toy, make_toy
from mmdiff_core.toyworld.render.colours import ToyAttributes, draw_attributes
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT, random_scene, reference_scene, scene_of
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD
from tests.helpers.small_referee import CONFIG

IMAGES = torch.rand(3, 3, 50, 40, generator=torch.Generator().manual_seed(0))
PAIRS = 96  # so many that the shares below are known to about three in a hundred


@pytest.fixture(scope="module")
def referee() -> Referee:
    return load_referee()


@pytest.fixture
def tiny_referee() -> Referee:
    torch.manual_seed(0)
    return Referee(CONFIG).eval()


def test_it_is_small_and_knows_the_whole_world(referee: Referee) -> None:
    assert FILE.stat().st_size <= 12e6
    assert sum(parameter.numel() for parameter in referee.parameters()) <= 6e6
    referee.config.check_knows(WHOLE_WORLD)


def painted(class_name: str, seed: int, attributes: ToyAttributes) -> Toy:
    """Make the toy of a class and seed with the attributes of another."""
    rng = random.Random(f"toy:{class_name}:{seed}")
    draw_attributes(rng)  # its own
    builder = Builder(attributes)
    CLASSES[class_name].build(builder, rng)
    return Toy(class_name, seed, attributes, builder.finish(CLASSES[class_name].heading))


def swaps(referee: Referee, exchanged: bool) -> list[bool]:
    """Judge images of two toys, as they are or each in the attributes of the other."""
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
def test_exchanged_attributes_are_called_swapped_and_others_are_not(referee: Referee) -> None:
    wrong, right = swaps(referee, exchanged=True), swaps(referee, exchanged=False)
    assert sum(wrong) >= 0.95 * len(wrong)  # measured 1.00
    assert sum(right) <= 0.03 * len(right)  # measured 0.00


def test_both_toys_of_an_image_are_found_and_no_others(referee: Referee) -> None:
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


def test_a_toy_painted_in_its_own_attributes_is_the_toy() -> None:
    toy = make_toy("cat", HELD_OUT)
    assert painted("cat", HELD_OUT, toy.attributes) == toy


def output_with(segments: Tensor) -> RefereeOutput:
    return RefereeOutput(segments, *(torch.zeros(1) for _ in range(4)))


def test_region_belongs_to_the_likeliest_named_class() -> None:
    """A pixel that is most like the dog is the cat's where the prompt names no dog, and no toy's on background."""
    logits = torch.full((1, 4, 1, 4), -9.0)
    logits[0, 0, 0, 0] = 9.0  # background
    logits[0, 1, 0, 1] = 9.0  # cat
    logits[0, [1, 2], 0, 2] = torch.tensor([2.0, 9.0])  # dog, a little cat
    logits[0, 3, 0, 3] = 9.0  # robot
    cat_and_robot = regions_of(output_with(logits), 0, [0, 2], (1, 4))
    assert cat_and_robot[:, 0].tolist() == [[False, True, True, False], [False, False, False, True]]
    all_three = regions_of(output_with(logits), 0, [0, 1, 2], (1, 4))
    assert all_three[1, 0].tolist() == [False, False, True, False]


def test_judgements_do_not_depend_on_their_neighbours(tiny_referee: Referee) -> None:
    names = [["cat"], ["dog", "robot"], ["cat", "dog", "robot"]]
    together = judge(tiny_referee, IMAGES, names)
    for number, judgement in enumerate(together):
        alone = judge(tiny_referee, IMAGES[number : number + 1], names[number : number + 1])[0]
        assert torch.equal(alone.regions, judgement.regions)
        assert torch.allclose(alone.identity, judgement.identity, atol=1e-5)
        assert judgement.regions.shape == (len(names[number]), 50, 40)
        assert int(judgement.regions.sum(0).max()) <= 1
        assert len(judgement.present) == len(judgement.found) == len(names[number])


def test_a_bare_image_has_no_region(tiny_referee: Referee) -> None:
    with torch.no_grad():
        tiny_referee.segments.bias[0] += 100  # sure of background everywhere
    judgement = judge(tiny_referee, IMAGES[:1], [["cat", "dog"]])[0]
    assert judgement.found == (False, False)
    assert judgement.identity.isfinite().all()


def test_photos_are_averaged(tiny_referee: Referee) -> None:
    both = judge_photos(tiny_referee, IMAGES[:2], "cat")
    single = [judge_photos(tiny_referee, IMAGES[k : k + 1], "cat") for k in range(2)]
    mean = torch.cat([judgement.identity for judgement in single]).mean(0, keepdim=True)
    assert torch.allclose(both.identity, torch.nn.functional.normalize(mean, dim=-1), atol=1e-5)
    assert torch.allclose(
        both.attributes[0].softmax(-1),
        (single[0].attributes[0].softmax(-1) + single[1].attributes[0].softmax(-1)) / 2,
        atol=1e-5,
    )


def test_classes_that_it_cannot_judge(tiny_referee: Referee) -> None:
    with pytest.raises(SettingsError, match="bicycle"):
        judge(tiny_referee, IMAGES[:1], [["bicycle"]])
    with pytest.raises(SettingsError, match="cat, cat"):
        judge(tiny_referee, IMAGES[:1], [["cat", "cat"]])
