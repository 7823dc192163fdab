"""Toys: an identity is a noun and a seed, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from mmdiff_core.errors import SettingsError
from mmdiff_core.toybox import animals, things
from mmdiff_core.toybox.colours import COLOURS, RGB, Look, Waves, draw_look
from mmdiff_core.toybox.parts import UPRIGHT, Anchor, Builder, Figure, Part, axes_of
from mmdiff_core.toybox.shapes import Shape

ACCESSORIES = ("hat", "scarf")


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
    """Parts of a hat on the crown or a scarf round the neck of a figure that has them."""
    colour = COLOURS[accessory.colour]
    if figure.crown is None or figure.neck is None:
        raise SettingsError(f"This toy has no place for a {accessory.kind}.")
    return _hat(figure.crown, colour) if accessory.kind == "hat" else _scarf(figure.neck, colour)


def _hat(crown: Anchor, colour: RGB) -> tuple[Part, ...]:
    (x, y, z), r = crown
    band: RGB = (0.97, 0.95, 0.90)
    brim = (Shape.CYLINDER, (x, y, z), (r * 1.35, 0.022, r * 1.35))
    top = (Shape.CYLINDER, (x, y + 0.115, z), (r * 0.82, 0.115, r * 0.82))
    ribbon = (Shape.CYLINDER, (x, y + 0.045, z), (r * 0.86, 0.024, r * 0.86))
    return tuple(_plain(*solid, c) for solid, c in ((brim, colour), (top, colour), (ribbon, band)))


def _scarf(neck: Anchor, colour: RGB) -> tuple[Part, ...]:
    (x, y, z), r = neck
    ring = _plain(Shape.BALL, (x, y, z), (r * 1.28, 0.062, r * 1.28), colour)
    end = _plain(Shape.BOX, (x + r * 0.55, y - 0.13, z + r * 0.98), (0.055, 0.13, 0.03), colour)
    return ring, end


def _plain(shape: Shape, centre: tuple[float, float, float], size: tuple[float, float, float], colour: RGB) -> Part:
    return Part(shape, centre, size, axes_of(UPRIGHT), 0.0, colour, 0.15, False)
