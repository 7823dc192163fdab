"""Toys: a class and a seed make an identity, and everything about the toy follows from them."""

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
from mmdiff_core.toyworld.bodies.solids import UPRIGHT, Anchor, Builder, Figure, Solid, axes_of
from mmdiff_core.toyworld.render.colours import COLOURS, RGB, ToyAttributes, Waves, draw_attributes
from mmdiff_core.toyworld.render.shapes import SolidShape

ACCESSORIES = ("hat", "scarf", "crown", "bow")


class ToyClass(NamedTuple):
    """What all toys of a class share."""

    build: Callable[[Builder, random.Random], None]
    heading: float  # degrees that turn its best side to the front at yaw 0
    second: str  # the body part in the identity's second colour, besides the pattern
    accent: str  # the body part in the identity's accent colour


CLASSES: dict[str, ToyClass] = {
    "cat": ToyClass(animals.cat, 0, "belly", "paws"),
    "dog": ToyClass(animals.dog, 0, "belly", "ears"),
    "rabbit": ToyClass(animals.rabbit, 0, "belly", "paws"),
    "bear": ToyClass(animals.bear, 0, "belly", "paws"),
    "penguin": ToyClass(animals.penguin, 0, "wings", "feet"),
    "frog": ToyClass(animals.frog, 0, "belly", "feet"),
    "elephant": ToyClass(animals.elephant, 18, "toes", "ears"),
    "dinosaur": ToyClass(animals.dinosaur, 58, "belly", "spikes"),
    "robot": ToyClass(things.robot, 0, "chest", "hands"),
    "car": ToyClass(things.car, 65, "roof", "wheels"),
    "boat": ToyClass(things.boat, 75, "sail", "rim"),
    "rocket": ToyClass(things.rocket, 22, "fins", "nose"),
    "owl": ToyClass(creatures.owl, 0, "wings", "face"),
    "duck": ToyClass(creatures.duck, 48, "wings", "beak"),
    "lion": ToyClass(creatures.lion, 0, "belly", "mane"),
    "giraffe": ToyClass(creatures.giraffe, 52, "mane", "hooves"),
    "unicorn": ToyClass(creatures.unicorn, 56, "mane", "horn"),
    "turtle": ToyClass(creatures.turtle, 55, "head", "rim"),
    "fish": ToyClass(creatures.fish, 72, "fins", "lips"),
    "octopus": ToyClass(creatures.octopus, 0, "arms", "tips"),
    "snail": ToyClass(creatures.snail, 68, "head", "spiral"),
    "train": ToyClass(things.steam_train, 60, "cab", "wheels"),
    "airplane": ToyClass(things.airplane, 42, "wings", "nose"),
    "teapot": ToyClass(things.teapot, 0, "lid", "handle"),
}
CLASS_NAMES = tuple(CLASSES)


@dataclass(frozen=True)
class Accessory:
    """Something that a toy wears in one image only: one of ``ACCESSORIES`` in a named colour."""

    kind: str
    colour: str


@dataclass(frozen=True)
class Toy:
    """One identity, determined by ``class_name`` and ``seed``. ``figure`` is its body, one unit tall."""

    class_name: str
    seed: int
    attributes: ToyAttributes
    figure: Figure

    def solids(self, wearing: Accessory | None = None) -> Tensor:
        """Return the solids as rows (see ``solid_table``), those of what it wears last."""
        if wearing is None:
            return self._table
        return torch.cat((self._table, solid_table(dress(self.figure, wearing))))

    @property
    def can_wear(self) -> bool:
        """Whether it has a head and a neck."""
        return self.figure.crown is not None

    @cached_property
    def _table(self) -> Tensor:
        return solid_table(self.figure.solids)

    @cached_property
    def pattern(self) -> Tensor:
        """Return (17,): frequencies (9), phases (3), level, cosine of the dots' half angle, second colour (3)."""
        waves: Waves = self.attributes.waves
        flat = [f for wave in waves.frequencies for f in wave]
        return torch.tensor([*flat, *waves.phases, waves.level, self.attributes.dot_size, *self.attributes.colours[1]])


def make_toy(class_name: str, seed: int) -> Toy:
    """Make the identity of this class and seed; raise SettingsError for a class that the world does not have."""
    if class_name not in CLASSES:
        raise SettingsError(f'There is no toy "{class_name}". Choose one of: {", ".join(CLASS_NAMES)}.')
    rng = random.Random(f"toy:{class_name}:{seed}")
    attributes = draw_attributes(rng)
    builder = Builder(attributes)
    CLASSES[class_name].build(builder, rng)
    return Toy(class_name, seed, attributes, builder.finish(CLASSES[class_name].heading))


def solid_table(solids: tuple[Solid, ...]) -> Tensor:
    """Return (solids, 22): shape, centre (3), size (3), axes (9), extra, colour (3), gloss, patterned."""
    rows = [
        (p.shape, *p.centre, *p.size, *p.axes[0], *p.axes[1], *p.axes[2], p.extra, *p.colour, p.gloss, p.patterned)
        for p in solids
    ]
    return torch.tensor(rows, dtype=torch.float32)


def dress(figure: Figure, accessory: Accessory) -> tuple[Solid, ...]:
    """Return the solids of an accessory on a figure's crown or neck; raise SettingsError if it has none."""
    colour = COLOURS[accessory.colour]
    if figure.crown is None or figure.neck is None:
        raise SettingsError(f"This toy cannot wear a {accessory.kind}: it has no head or no neck.")
    if accessory.kind == "hat":
        return _hat(figure.crown, colour)
    if accessory.kind == "crown":
        return _crown(figure.crown, colour)
    return _scarf(figure.neck, colour) if accessory.kind == "scarf" else _bow(figure.neck, colour)


def _hat(crown: Anchor, colour: RGB) -> tuple[Solid, ...]:
    (x, y, z), r = crown
    band: RGB = (0.97, 0.95, 0.90)
    brim = (SolidShape.CYLINDER, (x, y, z), (r * 1.35, 0.022, r * 1.35))
    top = (SolidShape.CYLINDER, (x, y + 0.115, z), (r * 0.82, 0.115, r * 0.82))
    ribbon = (SolidShape.CYLINDER, (x, y + 0.045, z), (r * 0.86, 0.024, r * 0.86))
    return tuple(_plain(*solid, c) for solid, c in ((brim, colour), (top, colour), (ribbon, band)))


def _crown(crown: Anchor, colour: RGB) -> tuple[Solid, ...]:
    """Build a band with five points, a ball on each."""
    (x, y, z), r = crown
    r *= 0.92
    band = _plain(SolidShape.CYLINDER, (x, y + 0.055, z), (r, 0.06, r), colour)
    around = [math.radians(72 * i) for i in range(5)]
    rim = [(x + 0.82 * r * math.sin(turn), z + 0.82 * r * math.cos(turn)) for turn in around]
    points = [_plain(SolidShape.CONE, (a, y + 0.165, c), (r * 0.36, 0.075, r * 0.36), colour) for a, c in rim]
    balls = [_plain(SolidShape.BALL, (a, y + 0.245, c), (0.03, 0.03, 0.03), (0.97, 0.95, 0.90)) for a, c in rim]
    return band, *points, *balls


def _bow(neck: Anchor, colour: RGB) -> tuple[Solid, ...]:
    """Build a bow tie at the throat: two wings and a knot."""
    (x, y, z), r = neck
    front = z + r * 1.12 + 0.02
    wings = []
    for side in (-1, 1):
        axes = axes_of((0.0, 0.0, 90.0 * side))
        middle = (x + side * 0.095, y - 0.02, front)
        wings.append(Solid(SolidShape.CONE, middle, (0.105, 0.095, 0.06), axes, 0.12, colour, 0.15, False))
    return *wings, _plain(SolidShape.BALL, (x, y - 0.02, front + 0.01), (0.042, 0.05, 0.05), colour)


def _scarf(neck: Anchor, colour: RGB) -> tuple[Solid, ...]:
    (x, y, z), r = neck
    ring = _plain(SolidShape.BALL, (x, y, z), (r * 1.28, 0.062, r * 1.28), colour)
    end = _plain(SolidShape.BOX, (x + r * 0.55, y - 0.13, z + r * 0.98), (0.055, 0.13, 0.03), colour)
    return ring, end


def _plain(
    shape: SolidShape, centre: tuple[float, float, float], size: tuple[float, float, float], colour: RGB
) -> Solid:
    return Solid(shape, centre, size, axes_of(UPRIGHT), 0.0, colour, 0.15, False)
