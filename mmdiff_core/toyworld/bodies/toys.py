"""Toys: an identity is a noun and a seed, and nothing else."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from mmdiff_core.errors import SettingsError
from mmdiff_core.toyworld.bodies import animals, creatures, things
from mmdiff_core.toyworld.bodies.solids import UPRIGHT, Anchor, Builder, Figure, Part, axes_of
from mmdiff_core.toyworld.render.colours import COLOURS, RGB, Look, Waves, draw_look
from mmdiff_core.toyworld.render.shapes import Shape

ACCESSORIES = ("hat", "scarf", "crown", "bow")


class Kind(NamedTuple):
    """What all toys of a noun share."""

    build: Callable[[Builder, random.Random], None]
    heading: float  # degrees by which it is turned to show its best side at yaw 0
    second: str  # what wears the identity's second colour, besides the pattern
    accent: str  # what wears the identity's accent colour


KINDS: dict[str, Kind] = {
    "cat": Kind(animals.cat, 0, "belly", "paws"),
    "dog": Kind(animals.dog, 0, "belly", "ears"),
    "rabbit": Kind(animals.rabbit, 0, "belly", "paws"),
    "bear": Kind(animals.bear, 0, "belly", "paws"),
    "penguin": Kind(animals.penguin, 0, "wings", "feet"),
    "frog": Kind(animals.frog, 0, "belly", "feet"),
    "elephant": Kind(animals.elephant, 18, "toes", "ears"),
    "dinosaur": Kind(animals.dinosaur, 58, "belly", "spikes"),
    "robot": Kind(things.robot, 0, "chest", "hands"),
    "car": Kind(things.car, 65, "roof", "wheels"),
    "boat": Kind(things.boat, 75, "sail", "rim"),
    "rocket": Kind(things.rocket, 22, "fins", "nose"),
    "owl": Kind(creatures.owl, 0, "wings", "face"),
    "duck": Kind(creatures.duck, 48, "wings", "beak"),
    "lion": Kind(creatures.lion, 0, "belly", "mane"),
    "giraffe": Kind(creatures.giraffe, 52, "mane", "hooves"),
    "unicorn": Kind(creatures.unicorn, 56, "mane", "horn"),
    "turtle": Kind(creatures.turtle, 55, "head", "rim"),
    "fish": Kind(creatures.fish, 72, "fins", "lips"),
    "octopus": Kind(creatures.octopus, 0, "arms", "tips"),
    "snail": Kind(creatures.snail, 68, "head", "spiral"),
    "train": Kind(things.train, 60, "cab", "wheels"),
    "airplane": Kind(things.airplane, 42, "wings", "nose"),
    "teapot": Kind(things.teapot, 0, "lid", "handle"),
}
NOUNS = tuple(KINDS)


@dataclass(frozen=True)
class Accessory:
    """Something that a toy wears in one picture only: a kind of ``ACCESSORIES`` in a named colour."""

    kind: str
    colour: str


@dataclass(frozen=True)
class Toy:
    """One identity. ``figure`` is its body, one unit tall; everything follows from ``noun`` and ``seed``."""

    noun: str
    seed: int
    look: Look
    figure: Figure

    def parts(self, wearing: Accessory | None = None) -> Tensor:
        """Parts as rows (see ``part_table``), those of what it wears last."""
        if wearing is None:
            return self._table
        return torch.cat((self._table, part_table(dress(self.figure, wearing))))

    @property
    def can_wear(self) -> bool:
        """Whether it has a head and a neck."""
        return self.figure.crown is not None

    @cached_property
    def _table(self) -> Tensor:
        return part_table(self.figure.parts)

    @cached_property
    def pattern(self) -> Tensor:
        """(17,) frequencies (9), phases (3), level, cosine of the dots' half angle, second colour (3)."""
        waves: Waves = self.look.waves
        flat = [f for wave in waves.frequencies for f in wave]
        return torch.tensor([*flat, *waves.phases, waves.level, self.look.dot_size, *self.look.colours[1]])


def make_toy(noun: str, seed: int) -> Toy:
    """The toy of this noun and seed; raises SettingsError for a noun that the world does not have."""
    if noun not in KINDS:
        raise SettingsError(f'There is no toy "{noun}". Choose one of: {", ".join(NOUNS)}.')
    rng = random.Random(f"toy:{noun}:{seed}")
    look = draw_look(rng)
    builder = Builder(look)
    KINDS[noun].build(builder, rng)
    return Toy(noun, seed, look, builder.finish(KINDS[noun].heading))


def part_table(parts: tuple[Part, ...]) -> Tensor:
    """(parts, 22): shape, centre (3), size (3), axes (9), extra, colour (3), gloss, patterned."""
    rows = [
        (p.shape, *p.centre, *p.size, *p.axes[0], *p.axes[1], *p.axes[2], p.extra, *p.colour, p.gloss, p.patterned)
        for p in parts
    ]
    return torch.tensor(rows, dtype=torch.float32)


def dress(figure: Figure, accessory: Accessory) -> tuple[Part, ...]:
    """Parts of what a figure wears on its crown or round its neck; raises SettingsError where it cannot."""
    colour = COLOURS[accessory.colour]
    if figure.crown is None or figure.neck is None:
        raise SettingsError(f"This toy has no place for a {accessory.kind}.")
    if accessory.kind == "hat":
        return _hat(figure.crown, colour)
    if accessory.kind == "crown":
        return _crown(figure.crown, colour)
    return _scarf(figure.neck, colour) if accessory.kind == "scarf" else _bow(figure.neck, colour)


def _hat(crown: Anchor, colour: RGB) -> tuple[Part, ...]:
    (x, y, z), r = crown
    band: RGB = (0.97, 0.95, 0.90)
    brim = (Shape.CYLINDER, (x, y, z), (r * 1.35, 0.022, r * 1.35))
    top = (Shape.CYLINDER, (x, y + 0.115, z), (r * 0.82, 0.115, r * 0.82))
    ribbon = (Shape.CYLINDER, (x, y + 0.045, z), (r * 0.86, 0.024, r * 0.86))
    return tuple(_plain(*solid, c) for solid, c in ((brim, colour), (top, colour), (ribbon, band)))


def _crown(crown: Anchor, colour: RGB) -> tuple[Part, ...]:
    """A band with five points, a ball on each."""
    (x, y, z), r = crown
    r *= 0.92
    band = _plain(Shape.CYLINDER, (x, y + 0.055, z), (r, 0.06, r), colour)
    around = [math.radians(72 * i) for i in range(5)]
    rim = [(x + 0.82 * r * math.sin(turn), z + 0.82 * r * math.cos(turn)) for turn in around]
    points = [_plain(Shape.CONE, (a, y + 0.165, c), (r * 0.36, 0.075, r * 0.36), colour) for a, c in rim]
    balls = [_plain(Shape.BALL, (a, y + 0.245, c), (0.03, 0.03, 0.03), (0.97, 0.95, 0.90)) for a, c in rim]
    return band, *points, *balls


def _bow(neck: Anchor, colour: RGB) -> tuple[Part, ...]:
    """A bow tie at the throat: two wings and a knot."""
    (x, y, z), r = neck
    front = z + r * 1.12 + 0.02
    wings = []
    for side in (-1, 1):
        axes = axes_of((0.0, 0.0, 90.0 * side))
        middle = (x + side * 0.095, y - 0.02, front)
        wings.append(Part(Shape.CONE, middle, (0.105, 0.095, 0.06), axes, 0.12, colour, 0.15, False))
    return *wings, _plain(Shape.BALL, (x, y - 0.02, front + 0.01), (0.042, 0.05, 0.05), colour)


def _scarf(neck: Anchor, colour: RGB) -> tuple[Part, ...]:
    (x, y, z), r = neck
    ring = _plain(Shape.BALL, (x, y, z), (r * 1.28, 0.062, r * 1.28), colour)
    end = _plain(Shape.BOX, (x + r * 0.55, y - 0.13, z + r * 0.98), (0.055, 0.13, 0.03), colour)
    return ring, end


def _plain(shape: Shape, centre: tuple[float, float, float], size: tuple[float, float, float], colour: RGB) -> Part:
    return Part(shape, centre, size, axes_of(UPRIGHT), 0.0, colour, 0.15, False)
