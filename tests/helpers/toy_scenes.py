"""Scenes of the toy world for tests: random ones, and one toy alone."""

from __future__ import annotations

import random
from dataclasses import replace

from mmdiff_core.toyworld import Caption, PlacedToy, Scene, make_toy, random_scene
from mmdiff_core.toyworld.bodies.toys import Toy
from mmdiff_core.toyworld.render.colours import RGB

NO_CAPTION = Caption("", (), "")


def scenes(count: int, seed: int = 0, subjects: int | None = None, identities: str = "train") -> list[Scene]:
    """Draw random scenes, the same for the same arguments."""
    rng = random.Random(seed)
    return [random_scene(rng, subjects, identities) for _ in range(count)]


def alone(class_name: str = "cat", seed: int = 1, background: str = "snow", **placing: float) -> Scene:
    """Place one toy in the middle of a scene."""
    placed = {"x": 0.0, "y": 0.35, "height": 0.7, "yaw": 20.0} | placing
    return Scene((PlacedToy(make_toy(class_name, seed), **placed),), background, 4, 10.0, NO_CAPTION)


def empty(background: str, seed: int = 1) -> Scene:
    """Return a background without toys."""
    return Scene((), background, seed, 10.0, NO_CAPTION)


def painted(toy: Toy, colour: RGB) -> Toy:
    """Paint a whole toy in one colour."""
    solids = tuple(solid._replace(colour=colour, patterned=False) for solid in toy.figure.solids)
    return replace(toy, figure=toy.figure._replace(solids=solids))
