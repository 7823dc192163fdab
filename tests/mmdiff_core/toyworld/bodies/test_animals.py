"""The plush animals: whole bodies that face us, differ by identity, and can wear things."""

from __future__ import annotations

import pytest

from mmdiff_core.toyworld.bodies import animals
from mmdiff_core.toyworld.bodies.toys import CLASSES
from mmdiff_core.toyworld.render.colours import FIXED
from tests.helpers.bodies import build, floating

NAMES = ("cat", "dog", "rabbit", "bear", "penguin", "frog", "elephant", "dinosaur")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_floats_and_everything_can_be_worn(name: str) -> None:
    for seed in range(12):
        builder = build(getattr(animals, name), seed)
        assert floating(builder.solids) == []
        assert builder.crown is not None
        assert builder.neck is not None
        assert builder.crown.at[1] > builder.neck.at[1]


@pytest.mark.parametrize("name", NAMES)
def test_two_black_eyes_look_at_us(name: str) -> None:
    """An eye is in front of the head's middle; the two are mirror images."""
    builder = build(getattr(animals, name))
    left, right = (solid for solid in builder.solids if solid.colour == FIXED["eye"][0])
    assert left.centre[0] == -right.centre[0] != 0
    assert left.centre[1:] == right.centre[1:]
    assert left.centre[2] > 0


@pytest.mark.parametrize("name", NAMES)
def test_all_colours_of_the_identity_show(name: str) -> None:
    builder = build(getattr(animals, name))
    shown = {solid.colour for solid in builder.solids}
    assert {builder.attributes.colours[0], builder.attributes.colours[2]} <= shown
    assert any(solid.patterned for solid in builder.solids)
    assert CLASSES[name].build is getattr(animals, name)


def test_identities_have_their_own_proportions() -> None:
    for name in NAMES:
        first, second = (build(getattr(animals, name), seed).solids for seed in (1, 2))
        assert [(s.size, s.centre) for s in first] != [(s.size, s.centre) for s in second], name


def test_what_makes_the_classes() -> None:
    """The rabbit's ears are its highest solids, the elephant's trunk hangs in front, the dinosaur has spikes."""
    rabbit, bear = (build(function).solids for function in (animals.rabbit, animals.bear))
    ear = max(rabbit, key=lambda solid: solid.centre[1] + solid.reach((0, 1, 0)))
    assert ear.size[1] > 3 * ear.size[2]
    assert max(s.centre[1] for s in rabbit) > max(s.centre[1] for s in bear)
    elephant = build(animals.elephant)
    front = max(elephant.solids, key=lambda solid: solid.centre[2])
    assert front.centre[1] < 0.5
    dinosaur = build(animals.dinosaur)
    assert sum(s.colour == dinosaur.attributes.colours[2] and s.centre[0] == 0 for s in dinosaur.solids) == 6
