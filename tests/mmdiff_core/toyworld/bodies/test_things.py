"""The objects: whole bodies, of which only the robot has a head."""

from __future__ import annotations

import pytest

from mmdiff_core.toyworld.bodies import things
from mmdiff_core.toyworld.bodies.toys import CLASSES, make_toy
from mmdiff_core.toyworld.render.colours import FIXED
from tests.helpers.bodies import build, floating

FUNCTIONS = {
    "robot": things.robot, "car": things.car, "boat": things.boat, "rocket": things.rocket,
    "train": things.steam_train, "airplane": things.airplane, "teapot": things.teapot,
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_floats(name: str) -> None:
    for seed in range(12):
        assert floating(build(FUNCTIONS[name], seed).solids) == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_identities_differ_and_show_all_their_colours(name: str) -> None:
    first, second = build(FUNCTIONS[name], 1), build(FUNCTIONS[name], 2)
    assert [(s.size, s.centre) for s in first.solids] != [(s.size, s.centre) for s in second.solids]
    assert set(first.attributes.colours) <= {s.colour for s in first.solids}
    assert CLASSES[name].build is FUNCTIONS[name]


def test_only_the_robot_can_wear_things() -> None:
    assert {name for name in FUNCTIONS if make_toy(name, 1).can_wear} == {"robot"}


@pytest.mark.parametrize(("name", "count"), [("car", 4), ("train", 6), ("airplane", 2)])
def test_wheels(name: str, count: int) -> None:
    """Wheels lie on their sides and reach the ground."""
    builder = build(FUNCTIONS[name])
    colour = builder.attributes.colours[2] if name == "train" else FIXED["rubber"][0]
    wheels = [s for s in builder.solids if s.colour == colour and abs(s.axes[1][0]) > 0.99 and s.size[1] < 0.06]
    assert len(wheels) == count
    low = min(s.centre[1] - s.reach((0, 1, 0)) for s in builder.solids)
    assert all(wheel.centre[1] - wheel.reach((0, 1, 0)) == pytest.approx(low, abs=0.03) for wheel in wheels)


def test_a_rocket_stands_on_four_fins() -> None:
    rocket = build(things.rocket)
    fins = [s for s in rocket.solids if s.colour == rocket.attributes.colours[1] and s.size[2] == 0.035]
    assert sorted((round(s.centre[0], 3) > 0) - (round(s.centre[0], 3) < 0) for s in fins) == [-1, 0, 0, 1]
