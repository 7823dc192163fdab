"""Identities: a class and a seed say everything about a toy, but not what it wears."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmdiff_core.errors import SettingsError
from mmdiff_core.toyworld import CLASS_NAMES, render
from mmdiff_core.toyworld.bodies.toys import ACCESSORIES, CLASSES, Accessory, make_toy, solid_table
from tests.helpers.toy_scenes import alone


def test_a_seed_is_one_identity_and_another_seed_another() -> None:
    for class_name in CLASS_NAMES:
        assert make_toy(class_name, 5) == make_toy(class_name, 5)
        assert make_toy(class_name, 5).figure != make_toy(class_name, 6).figure


def test_an_unknown_class_is_refused_with_the_classes_there_are() -> None:
    with pytest.raises(SettingsError, match=r"cow.*cat, dog.*rocket"):
        make_toy("cow", 1)


def test_a_table_row_has_the_solids_numbers_in_order() -> None:
    solid = make_toy("snail", 2).figure.solids[3]
    (row,) = solid_table((solid,)).tolist()
    expected = [
        *(float(solid.shape), *solid.centre, *solid.size),
        *(x for axis in solid.axes for x in axis),
        *(solid.extra, *solid.colour, solid.gloss, float(solid.patterned)),
    ]
    assert len(row) == 22
    assert row == pytest.approx(expected, abs=1e-6)


def test_accessories_come_last_and_in_their_colour() -> None:
    toy = make_toy("bear", 1)
    bare = toy.solids()
    for kind in ACCESSORIES:
        dressed = toy.solids(Accessory(kind, "purple"))
        assert torch.equal(dressed[: len(bare)], bare)
        colours = {tuple(round(float(x), 2) for x in row[17:20]) for row in dressed[len(bare) :]}
        assert (0.52, 0.23, 0.78) in colours


@pytest.mark.parametrize("kind", ACCESSORIES)
def test_an_accessory_shows_on_every_toy_that_can_wear_it(kind: str) -> None:
    scenes = [alone(class_name, height=0.5, yaw=0.0) for class_name in CLASS_NAMES]
    bare = [scene for scene in scenes if scene.toys[0].toy.can_wear]
    dressed = [replace(s, toys=(replace(s.toys[0], wearing=Accessory(kind, "red")),)) for s in bare]
    changed = (render(bare, 56).images - render(dressed, 56).images).abs().amax(1) > 0.05
    for scene, pixels in zip(bare, changed.sum((1, 2)), strict=True):
        assert int(pixels) > 8, scene.toys[0].toy.class_name


def test_wearing_a_hat_adds_to_the_top() -> None:
    bare = alone("bear", height=0.5)
    hatted = replace(bare, toys=(replace(bare.toys[0], wearing=Accessory("hat", "red")),))
    a, b = render([bare, hatted], 64).masks[:, 0]
    assert int(b.any(1).int().argmax()) < int(a.any(1).int().argmax())
    assert not (a & ~b).any()


def test_a_toy_without_a_head_wears_nothing() -> None:
    with pytest.raises(SettingsError, match="cannot wear a bow"):
        make_toy("teapot", 1).solids(Accessory("bow", "red"))


def test_the_pattern_has_the_numbers_of_the_attributes() -> None:
    toy = make_toy("dog", 4)
    pattern = toy.pattern.tolist()
    assert len(pattern) == 17
    assert pattern[14:] == pytest.approx(toy.attributes.colours[1])
    assert pattern[12:14] == pytest.approx([toy.attributes.waves.level, toy.attributes.dot_size])


def test_classes_that_look_best_in_profile_have_a_heading() -> None:
    turned = {name for name, toy_class in CLASSES.items() if toy_class.heading}
    assert {"car", "boat", "fish", "dinosaur", "duck"} <= turned
    assert not {"cat", "robot", "owl", "teapot"} & turned
