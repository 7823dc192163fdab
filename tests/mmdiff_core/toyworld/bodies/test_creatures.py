"""The other animals: whole bodies whose parts vary with the identity."""

from __future__ import annotations

import pytest

from mmdiff_core.toyworld.bodies import creatures
from mmdiff_core.toyworld.bodies.toys import CLASSES, make_toy
from mmdiff_core.toyworld.render.colours import FIXED
from tests.helpers.bodies import build, floating

NAMES = ("owl", "duck", "lion", "giraffe", "unicorn", "turtle", "fish", "octopus", "snail")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_floats(name: str) -> None:
    for seed in range(12):
        assert floating(build(getattr(creatures, name), seed).solids) == []


@pytest.mark.parametrize("name", NAMES)
def test_eyes_are_mirror_images(name: str) -> None:
    left, right = (s for s in build(getattr(creatures, name)).solids if s.colour == FIXED["eye"][0])
    assert left.centre[0] == pytest.approx(-right.centre[0])
    assert left.centre[0] != 0


@pytest.mark.parametrize("name", NAMES)
def test_identities_differ_and_show_all_their_colours(name: str) -> None:
    function = getattr(creatures, name)
    first, second = build(function, 1), build(function, 2)
    assert [(s.size, s.centre) for s in first.solids] != [(s.size, s.centre) for s in second.solids]
    assert set(first.attributes.colours) <= {s.colour for s in first.solids}
    assert CLASSES[name].build is function


def test_who_can_wear_a_hat() -> None:
    hatless = {name for name in NAMES if not make_toy(name, 1).can_wear}
    assert hatless == {"unicorn", "fish", "snail"}


def test_what_makes_the_classes() -> None:
    """An octopus has eight arms, a giraffe is mostly neck, a lion's mane surrounds its head."""
    octopus = build(creatures.octopus)
    tips = [s for s in octopus.solids if s.colour == octopus.attributes.colours[2]]
    assert len(tips) == 8
    giraffe = build(creatures.giraffe)
    assert giraffe.crown is not None
    assert giraffe.crown.at[1] > 0.95
    lion = build(creatures.lion)
    mane = [s for s in lion.solids if s.colour == lion.attributes.colours[2] and s.size[1] == 0.15]
    assert len(mane) in (11, 13, 15)
    heights = [s.centre[1] for s in mane]
    head = lion.crown.at[1] if lion.crown else 0.0
    assert min(heights) < head < max(heights) + 0.2
