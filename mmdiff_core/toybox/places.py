"""Places: what stands behind the toys, and the light in it. Each is a recipe in the vocabulary of ``Canvas``."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from mmdiff_core.toybox.canvas import Canvas
from mmdiff_core.toybox.colours import RGB, jitter
from mmdiff_core.toybox.shading import Light

_FAR = 1.6  # repeated things are placed this far to both sides, for wide pictures


def beach(c: Canvas, rng: random.Random) -> None:
    """Blue sky, a sun, turquoise sea, yellow sand, a parasol."""
    sea, sand = rng.uniform(-0.10, -0.02), rng.uniform(0.06, 0.12)
    c.sky(_near((0.25, 0.60, 0.95), rng), (0.80, 0.93, 1.0), sea)
    side = rng.choice((-1, 1))
    c.disc((1.0, 0.95, 0.65), (side * rng.uniform(0.15, 0.40), rng.uniform(-0.42, -0.28)), 0.075, soft=0.02)
    _clouds(c, rng, (1.0, 1.0, 1.0), 2)
    c.ground(_near((0.05, 0.45, 0.80), rng), (0.10, 0.85, 0.85), sea)
    c.band((0.25, 0.80, 0.88), sea + 0.05, sea + 0.065, soft=0.01)
    wave = (0.012, rng.uniform(0.5, 0.9), rng.uniform(0, 6.3))
    c.ground((0.98, 1.0, 1.0), (0.98, 1.0, 1.0), sand - 0.015, wave)
    c.ground(_near((0.93, 0.80, 0.55), rng), (0.99, 0.88, 0.63), sand + 0.008, wave)
    if rng.random() < 0.7:
        x, colour = -side * rng.uniform(0.28, 0.42), jitter((0.93, 0.27, 0.30), rng)
        c.box((0.95, 0.95, 0.95), (x, sand - 0.06), (0.007, 0.13))
        c.disc(colour, (x, sand - 0.13), (0.15, 0.10), below=sand - 0.13)
        c.disc((1.0, 0.97, 0.90), (x, sand - 0.13), (0.05, 0.10), below=sand - 0.13)


def snow(c: Canvas, rng: random.Random) -> None:
    """Pale sky, white hills, dark firs with snow on them."""
    horizon = rng.uniform(-0.08, 0.0)
    c.sky(_near((0.55, 0.74, 0.92), rng), (0.90, 0.95, 1.0), horizon)
    for x in _spread(rng, 0.62):
        c.triangle((0.95, 0.97, 1.0), (0.70, 0.80, 0.92), (x, horizon - rng.uniform(0.20, 0.32)), 0.40, 0.40)
    c.ground((0.84, 0.91, 0.98), (0.95, 0.97, 1.0), horizon, (0.03, 0.9, rng.uniform(0, 6.3)))
    for x in _spread(rng, 0.27):
        high = rng.uniform(0.20, 0.30)
        _fir(c, (x, horizon + 0.05), high, (0.10, 0.38, 0.33), (0.07, 0.29, 0.28))
    c.ground((0.93, 0.96, 1.0), (1.0, 1.0, 1.0), horizon + 0.07, (0.02, 1.3, rng.uniform(0, 6.3)))


def forest(c: Canvas, rng: random.Random) -> None:
    """Deep green, big trunks, round crowns, a mossy floor."""
    horizon = rng.uniform(-0.02, 0.06)
    c.sky(_near((0.14, 0.42, 0.25), rng), (0.62, 0.80, 0.48), horizon)
    for x in _spread(rng, 0.22):
        c.disc(jitter((0.20, 0.52, 0.27), rng, 0.03), (x, rng.uniform(-0.30, -0.12)), (0.17, 0.15), soft=0.02)
    for x in _spread(rng, 0.24):
        c.box((0.27, 0.20, 0.13), (x, horizon - 0.22), (0.024, 0.24))
    c.ground(_near((0.22, 0.45, 0.18), rng), (0.36, 0.55, 0.22), horizon, (0.015, 0.8, rng.uniform(0, 6.3)))
    for x in _spread(rng, 0.52):
        wide = rng.uniform(0.045, 0.065)
        c.box((0.40, 0.26, 0.15), (x, horizon - 0.20), (wide, 0.27))
        c.box((0.30, 0.19, 0.11), (x + wide * 0.5, horizon - 0.20), (wide * 0.5, 0.27))
        c.disc((0.34, 0.22, 0.13), (x, horizon + 0.065), (wide * 1.5, 0.02))
    for x in _spread(rng, 0.30):
        c.disc(jitter((0.15, 0.45, 0.19), rng, 0.03), (x, -0.50 + rng.uniform(-0.05, 0.02)), (0.22, 0.13), soft=0.015)


def desert(c: Canvas, rng: random.Random) -> None:
    """A hot pale sky, orange dunes, cactuses."""
    horizon = rng.uniform(-0.04, 0.03)
    c.sky(_near((0.98, 0.70, 0.38), rng), (1.0, 0.92, 0.70), horizon)
    c.disc((1.0, 0.98, 0.85), (rng.uniform(-0.35, 0.35), rng.uniform(-0.38, -0.25)), 0.09, soft=0.03)
    c.ground((0.88, 0.55, 0.30), (0.88, 0.55, 0.30), horizon - 0.08, (0.05, rng.uniform(0.8, 1.2), rng.uniform(0, 6.3)))
    c.ground((0.93, 0.60, 0.30), (0.90, 0.55, 0.26), horizon, (0.035, rng.uniform(1.2, 1.8), rng.uniform(0, 6.3)))
    for x in _spread(rng, 0.62):
        _cactus(c, (x, horizon + 0.10), rng.uniform(0.9, 1.2))
    c.ground(_near((0.95, 0.66, 0.36), rng), (0.98, 0.75, 0.45), horizon + 0.09, (0.02, 1.5, rng.uniform(0, 6.3)))


def meadow(c: Canvas, rng: random.Random) -> None:
    """A bright sky with clouds, rolling light green, big flowers."""
    horizon = rng.uniform(-0.06, 0.02)
    c.sky(_near((0.36, 0.68, 0.98), rng), (0.82, 0.94, 1.0), horizon)
    _clouds(c, rng, (1.0, 1.0, 1.0), 3)
    c.ground((0.45, 0.76, 0.36), (0.45, 0.76, 0.36), horizon - 0.05, (0.05, rng.uniform(0.9, 1.3), rng.uniform(0, 6.3)))
    c.ground(_near((0.52, 0.82, 0.30), rng), (0.44, 0.78, 0.26), horizon + 0.03, (0.025, 1.4, rng.uniform(0, 6.3)))
    petals = rng.choice(((0.99, 0.35, 0.45), (1.0, 1.0, 1.0), (0.99, 0.85, 0.20), (0.75, 0.45, 0.95)))
    for x in _spread(rng, 0.17):
        at = (x, rng.uniform(horizon + 0.09, 0.47))
        size = 0.016 + 0.035 * (at[1] - horizon)
        c.disc(petals, at, (size, size * 0.8))
        c.disc((1.0, 0.80, 0.15) if petals[1] != 0.85 else (0.85, 0.45, 0.10), at, (size * 0.42, size * 0.34))


def city(c: Canvas, rng: random.Random) -> None:
    """A night sky with a moon, dark houses with lit windows, a street with a white line."""
    horizon = rng.uniform(0.02, 0.08)
    c.sky(_near((0.05, 0.05, 0.20), rng), (0.28, 0.18, 0.46), horizon)
    c.disc((0.98, 0.96, 0.82), (rng.uniform(-0.38, 0.38), rng.uniform(-0.42, -0.34)), 0.06)
    for x in _spread(rng, 0.21):
        _house(c, rng, x, horizon)
    c.band((0.33, 0.31, 0.42), horizon, horizon + 0.05)
    c.ground(_near((0.19, 0.18, 0.28), rng), (0.25, 0.24, 0.36), horizon + 0.05)
    for x in _spread(rng, 0.40):
        c.box((0.95, 0.85, 0.45), (x, 0.44), (0.10, 0.012))
    for x in _spread(rng, 0.75):
        c.box((0.10, 0.10, 0.16), (x, horizon - 0.10), (0.008, 0.15))
        c.disc((1.0, 0.80, 0.40), (x, horizon - 0.26), 0.11, soft=0.2, opacity=0.55)
        c.disc((1.0, 0.95, 0.75), (x, horizon - 0.26), 0.028)


def bedroom(c: Canvas, rng: random.Random) -> None:
    """A papered wall, a window, a bed, a wooden floor with a round rug."""
    floor = rng.uniform(0.05, 0.12)
    wall = jitter(
        rng.choice(((0.96, 0.80, 0.78), (0.78, 0.86, 0.95), (0.97, 0.90, 0.72), (0.84, 0.80, 0.94))), rng, 0.02
    )
    c.sky(wall, _scaled(wall, 0.95), floor)
    for x in _spread(rng, 0.16, loose=0.0):
        c.box(_scaled(wall, 0.93), (x, floor - 0.75), (0.03, 0.75))
    side = rng.choice((-1, 1))
    at = (side * rng.uniform(0.20, 0.32), -0.24)
    c.box((1.0, 1.0, 1.0), at, (0.15, 0.17))
    c.box((0.55, 0.80, 0.97), at, (0.13, 0.15))
    c.box((1.0, 1.0, 1.0), at, (0.009, 0.15))
    c.box((1.0, 1.0, 1.0), at, (0.13, 0.009))
    c.ground(_near((0.66, 0.45, 0.28), rng), (0.76, 0.54, 0.34), floor)
    c.band((0.97, 0.95, 0.92), floor - 0.03, floor)
    blanket = jitter(rng.choice(((0.30, 0.45, 0.80), (0.85, 0.35, 0.40), (0.35, 0.65, 0.50))), rng)
    x = -side * rng.uniform(0.25, 0.31)
    c.box((0.50, 0.31, 0.18), (x - side * 0.205, floor - 0.09), (0.022, 0.17))
    c.box((0.98, 0.97, 0.95), (x, floor - 0.02), (0.20, 0.055))
    c.disc((1.0, 1.0, 1.0), (x - side * 0.135, floor - 0.085), (0.06, 0.032))
    c.box(blanket, (x + side * 0.055, floor - 0.02), (0.16, 0.065))
    c.disc(blanket, (x + side * 0.055, floor - 0.08), (0.155, 0.03))
    c.box((0.50, 0.31, 0.18), (x, floor + 0.05), (0.22, 0.02))
    rug = jitter(rng.choice(((0.90, 0.60, 0.55), (0.55, 0.72, 0.80), (0.92, 0.82, 0.55))), rng)
    c.disc(rug, (0.0, 0.36), (0.48, 0.115))
    c.disc(_scaled(rug, 1.12), (0.0, 0.36), (0.38, 0.085))


def space(c: Canvas, rng: random.Random) -> None:
    """Black sky with stars and planets over a grey moon with craters."""
    horizon = rng.uniform(0.06, 0.14)
    c.sky((0.02, 0.01, 0.08), _near((0.12, 0.06, 0.28), rng), horizon)
    for _ in range(26):
        size = rng.choice((0.006, 0.008, 0.011))
        c.disc((1.0, 1.0, 0.92), (rng.uniform(-_FAR, _FAR) * 0.6, rng.uniform(-0.5, horizon)), size, soft=0.008)
    planet = jitter(rng.choice(((0.95, 0.55, 0.30), (0.30, 0.70, 0.90), (0.85, 0.40, 0.65), (0.45, 0.80, 0.50))), rng)
    side = rng.choice((-1, 1))
    at, size = (side * rng.uniform(0.22, 0.36), rng.uniform(-0.36, -0.24)), rng.uniform(0.085, 0.125)
    c.disc(planet, at, size)
    c.disc(_scaled(planet, 1.25), (at[0] - size * 0.22, at[1] - size * 0.22), size * 0.68, soft=size * 0.5)
    if rng.random() < 0.6:
        c.disc((0.95, 0.87, 0.70), at, (size * 1.75, size * 0.20), opacity=0.9)
        c.disc(planet, (at[0], at[1] - size * 0.12), (size * 0.96, size * 0.14))
    c.disc((0.85, 0.87, 0.95), (-side * rng.uniform(0.15, 0.42), rng.uniform(-0.42, -0.30)), 0.04)
    c.ground((0.50, 0.50, 0.58), _near((0.68, 0.68, 0.74), rng), horizon, (0.02, 1.4, rng.uniform(0, 6.3)))
    for x in _spread(rng, 0.28):
        at, size = (x, rng.uniform(horizon + 0.05, 0.47)), rng.uniform(0.05, 0.085)
        c.disc((0.76, 0.76, 0.82), (at[0], at[1] + 0.008), (size, size * 0.30))
        c.disc((0.42, 0.42, 0.50), at, (size * 0.92, size * 0.25))


class Place(NamedTuple):
    """How a place is painted, and its light: (sideways, up, towards us), key, sky, ground, darkness of shadows."""

    paint: Callable[[Canvas, random.Random], None]
    lamp: Light

    def light(self, seed: int) -> Light:
        """The light of one such place: from the left or from the right."""
        rng = random.Random(f"light:{seed}")
        side, up, toward = self.lamp.direction
        direction = (side * rng.choice((-1, 1)) * rng.uniform(0.6, 1.1), up * rng.uniform(0.8, 1.2), toward)
        return replace(self.lamp, direction=direction, key=jitter(self.lamp.key, rng, 0.03))


PLACES: dict[str, Place] = {
    name: Place(paint, Light(direction, key, sky, ground, shadow))
    for name, paint, direction, key, sky, ground, shadow in (
        ("beach", beach, (0.6, 0.9, 0.7), (0.66, 0.63, 0.56), (0.47, 0.50, 0.55), (0.43, 0.39, 0.32), 0.42),
        ("snow", snow, (0.5, 0.6, 0.9), (0.48, 0.50, 0.54), (0.56, 0.60, 0.66), (0.48, 0.51, 0.56), 0.34),
        ("forest", forest, (0.4, 1.0, 0.6), (0.66, 0.67, 0.52), (0.40, 0.47, 0.38), (0.26, 0.33, 0.20), 0.50),
        ("desert", desert, (0.8, 0.6, 0.6), (0.78, 0.66, 0.48), (0.46, 0.42, 0.38), (0.42, 0.30, 0.20), 0.48),
        ("meadow", meadow, (0.4, 1.0, 0.8), (0.64, 0.63, 0.58), (0.46, 0.51, 0.55), (0.30, 0.38, 0.22), 0.42),
        ("city at night", city, (0.8, 0.7, 0.6), (0.76, 0.66, 0.48), (0.34, 0.32, 0.48), (0.26, 0.23, 0.38), 0.55),
        ("bedroom", bedroom, (0.6, 0.7, 0.9), (0.58, 0.54, 0.48), (0.48, 0.47, 0.47), (0.38, 0.32, 0.27), 0.42),
        ("space", space, (0.9, 0.5, 0.5), (0.86, 0.86, 0.90), (0.28, 0.27, 0.38), (0.30, 0.30, 0.34), 0.60),
    )
}


def backdrop(place: str, seed: int, height: int, width: int, device: str | torch.device) -> Tensor:
    """The empty place (3, H, W) in [0, 1], a pure function of its arguments."""
    canvas = Canvas(height, width, device)
    PLACES[place].paint(canvas, random.Random(f"place:{place}:{seed}"))
    return canvas.image.clamp_(0, 1)


def _near(colour: RGB, rng: random.Random) -> RGB:
    return jitter(colour, rng, 0.04)


def _scaled(colour: RGB, by: float) -> RGB:
    r, g, b = (min(1.0, c * by) for c in colour)
    return r, g, b


def _spread(rng: random.Random, pitch: float, loose: float = 0.35) -> list[float]:
    """Positions across the widest picture, about ``pitch`` apart."""
    start = -_FAR + rng.random() * pitch
    return [start + i * pitch + rng.uniform(-loose, loose) * pitch for i in range(int(2 * _FAR / pitch))]


def _clouds(c: Canvas, rng: random.Random, colour: RGB, count: int) -> None:
    for x in _spread(rng, 1.2 / count):
        y, size = rng.uniform(-0.42, -0.22), rng.uniform(0.05, 0.075)
        for dx, dy, scale in ((-1.1, 0.25, 0.75), (1.1, 0.3, 0.7), (0.0, 0.0, 1.0)):
            c.disc(colour, (x + dx * size, y + dy * size), (size * scale * 1.15, size * scale * 0.72), soft=0.02)


def _fir(c: Canvas, foot: tuple[float, float], high: float, left: RGB, right: RGB) -> None:
    x, y = foot
    c.box((0.36, 0.25, 0.18), (x, y), (0.012, 0.03))
    for up, wide in ((0.0, 1.0), (0.28, 0.8), (0.54, 0.58)):
        c.triangle(left, right, (x, y - high * (up + 0.46)), high * 0.34 * wide, high * 0.46)
    c.triangle((1.0, 1.0, 1.0), (0.86, 0.92, 0.98), (x, y - high), high * 0.09, high * 0.20)


def _cactus(c: Canvas, foot: tuple[float, float], size: float) -> None:
    x, y = foot
    green: RGB = (0.24, 0.52, 0.28)
    for dx, top, bottom, wide in ((0.0, 0.30, 0.0, 0.030), (-0.075, 0.20, 0.12, 0.020), (0.075, 0.24, 0.15, 0.020)):
        middle, half = y - size * (top + bottom) / 2, size * (top - bottom) / 2
        c.box(green, (x + dx * size, middle), (wide * size, half))
        c.disc(green, (x + dx * size, y - size * top), wide * size)
    c.box(green, (x - 0.04 * size, y - size * 0.125), (0.055 * size, 0.018 * size))
    c.box(green, (x + 0.04 * size, y - size * 0.155), (0.055 * size, 0.018 * size))


def _house(c: Canvas, rng: random.Random, x: float, foot: float) -> None:
    half, high = rng.uniform(0.085, 0.105), rng.uniform(0.22, 0.42)
    dark = jitter((0.21, 0.18, 0.38), rng, 0.03)
    c.box(dark, (x, foot - high / 2), (half, high / 2))
    lit = rng.choice(((1.0, 0.85, 0.40), (1.0, 0.75, 0.35), (0.65, 0.85, 1.0)))
    c.grid(lit, (x, foot - high / 2 - 0.015), (half * 0.82, high / 2 * 0.8), (3, round(high * 12)), 0.5)
