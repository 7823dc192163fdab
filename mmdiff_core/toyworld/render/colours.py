"""Named colours, and the attributes of an identity: three colours and a pattern."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import ClassVar, Literal

RGB = tuple[float, float, float]
Pattern = Literal["plain", "stripes", "dots", "patches", "two-tone"]

PATTERNS: tuple[Pattern, ...] = ("plain", "stripes", "dots", "patches", "two-tone")

COLOURS: dict[str, RGB] = {
    "red": (0.88, 0.13, 0.15),
    "orange": (0.98, 0.50, 0.08),
    "yellow": (0.99, 0.83, 0.13),
    "green": (0.22, 0.66, 0.24),
    "turquoise": (0.10, 0.74, 0.72),
    "blue": (0.14, 0.36, 0.90),
    "purple": (0.52, 0.23, 0.78),
    "pink": (0.99, 0.50, 0.71),
    "brown": (0.50, 0.29, 0.14),
    "black": (0.13, 0.13, 0.17),
    "white": (0.96, 0.95, 0.93),
    "grey": (0.56, 0.59, 0.64),
}

# Colours that are the same for all identities, each with its gloss.
FIXED: dict[str, tuple[RGB, float]] = {
    "eye": ((0.05, 0.05, 0.07), 0.9),
    "eye white": ((0.98, 0.98, 0.98), 0.3),
    "glint": ((1.0, 1.0, 1.0), 0.0),
    "nose": ((0.16, 0.11, 0.12), 0.7),
    "pink": ((0.98, 0.62, 0.68), 0.2),
    "tongue": ((0.93, 0.36, 0.43), 0.3),
    "beak": ((0.99, 0.64, 0.10), 0.3),
    "ivory": ((0.97, 0.95, 0.88), 0.3),
    "rubber": ((0.15, 0.15, 0.17), 0.15),
    "steel": ((0.72, 0.75, 0.79), 0.8),
    "glass": ((0.62, 0.83, 0.95), 1.0),
    "lamp": ((1.0, 0.93, 0.60), 0.6),
    "wood": ((0.62, 0.40, 0.22), 0.2),
}

_QUIET = ("brown", "black", "white", "grey")  # drawn half as often as the vivid ones
_APART = 0.5  # least distance between two colours of one identity, in RGB
_JITTER = 0.045
NEVER = 9.0  # a level that no wave and no dot reaches


@dataclass(frozen=True)
class Waves:
    """A pattern in toy space: the second colour shows where ``sum_i sin(2 pi f_i . p + phase_i) > level``."""

    frequencies: tuple[RGB, RGB, RGB] = ((0.0, 0.0, 0.0),) * 3
    phases: tuple[float, float, float] = (0.0, 0.0, 0.0)
    level: float = NEVER


@dataclass(frozen=True)
class ToyAttributes:
    """Three named colours, each slightly varied, a pattern, and the pattern's numbers.

    Dots sit at the twelve corners of an icosahedron around each solid; ``dot_size`` is the cosine of their half angle.
    """

    PAINTS: ClassVar[frozenset[str]] = frozenset({"main", "plain", "second", "accent"})

    colour_names: tuple[str, str, str]
    colours: tuple[RGB, RGB, RGB]
    pattern: Pattern
    waves: Waves
    dot_size: float = NEVER
    gloss: float = 0.4

    def paint(self, role: str) -> tuple[RGB, float]:
        """Return colour and gloss of a role in ``PAINTS``."""
        return self.colours[{"main": 0, "plain": 0, "second": 1, "accent": 2}[role]], self.gloss


def draw_attributes(rng: random.Random) -> ToyAttributes:
    """Draw an identity's colours and pattern; any two of the three colours are well apart."""
    names = list(COLOURS)
    main = _draw_name(rng, names)
    second = _draw_name(rng, [n for n in names if _distance(n, main) > _APART])
    accent = _draw_name(rng, [n for n in names if min(_distance(n, main), _distance(n, second)) > _APART])
    pattern = rng.choice(PATTERNS)
    r, g, b = (jitter(COLOURS[name], rng) for name in (main, second, accent))
    dot_size = math.cos(math.radians(rng.uniform(17, 23))) if pattern == "dots" else NEVER
    waves, gloss = _waves(pattern, rng), rng.uniform(0.2, 0.6)
    return ToyAttributes((main, second, accent), (r, g, b), pattern, waves, dot_size, gloss)


def jitter(colour: RGB, rng: random.Random, amount: float = _JITTER) -> RGB:
    """Vary a colour slightly, within [0, 1]."""
    r, g, b = (min(1.0, max(0.0, c + rng.uniform(-amount, amount))) for c in colour)
    return r, g, b


def _draw_name(rng: random.Random, names: list[str]) -> str:
    return rng.choices(names, [0.5 if name in _QUIET else 1.0 for name in names])[0]


def _distance(a: str, b: str) -> float:
    return math.dist(COLOURS[a], COLOURS[b])


def _waves(pattern: Pattern, rng: random.Random) -> Waves:
    still: RGB = (0.0, 0.0, 0.0)
    if pattern == "stripes":
        slant, count = math.radians(rng.choice((0, 0, 45, 90))), rng.uniform(4.5, 6.5)
        wave = (count * math.sin(slant), count * math.cos(slant), 0.0)
        return Waves((wave, still, still), (rng.uniform(0, math.tau), 0.0, 0.0), rng.uniform(-0.1, 0.35))
    if pattern == "two-tone":
        upright = rng.random() < 0.5
        wave = (0.35, 0.0, 0.0) if upright else (0.0, -0.35, 0.0)
        return Waves((wave, still, still), (0.0 if upright else math.tau * 0.35 * rng.uniform(0.4, 0.5), 0.0, 0.0), 0.0)
    if pattern == "patches":
        waves = [(rng.uniform(-1, 1) * 2.6, rng.uniform(-1, 1) * 2.6, rng.uniform(-1, 1) * 2.6) for _ in range(3)]
        phases = (rng.uniform(0, math.tau), rng.uniform(0, math.tau), rng.uniform(0, math.tau))
        return Waves((waves[0], waves[1], waves[2]), phases, 0.45)
    return Waves()
