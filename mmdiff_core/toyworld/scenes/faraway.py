"""City, space and sea: backgrounds far from home, each painted with a ``Canvas``; see ``backgrounds``."""

from __future__ import annotations

import math
import random

from mmdiff_core.toyworld.render.colours import jitter
from mmdiff_core.toyworld.scenes.canvas import Canvas
from mmdiff_core.toyworld.scenes.scenery import FAR, near, scaled, spread


def city(c: Canvas, rng: random.Random) -> None:
    """Paint a night sky with a moon, dark houses with lit windows, a street with a white line."""
    horizon = rng.uniform(0.02, 0.08)
    c.sky(near((0.05, 0.05, 0.20), rng), (0.28, 0.18, 0.46), horizon)
    c.disc((0.98, 0.96, 0.82), (rng.uniform(-0.38, 0.38), rng.uniform(-0.42, -0.34)), 0.06)
    for x in spread(rng, 0.21):
        _house(c, rng, x, horizon)
    c.band((0.33, 0.31, 0.42), horizon, horizon + 0.05)
    c.ground(near((0.19, 0.18, 0.28), rng), (0.25, 0.24, 0.36), horizon + 0.05)
    for x in spread(rng, 0.40):
        c.box((0.95, 0.85, 0.45), (x, 0.44), (0.10, 0.012))
    for x in spread(rng, 0.75):
        c.box((0.10, 0.10, 0.16), (x, horizon - 0.10), (0.008, 0.15))
        c.disc((1.0, 0.80, 0.40), (x, horizon - 0.26), 0.11, soft=0.2, opacity=0.55)
        c.disc((1.0, 0.95, 0.75), (x, horizon - 0.26), 0.028)


def space(c: Canvas, rng: random.Random) -> None:
    """Paint black sky with stars and planets over a grey moon with craters."""
    horizon = rng.uniform(0.06, 0.14)
    c.sky((0.02, 0.01, 0.08), near((0.12, 0.06, 0.28), rng), horizon)
    for _ in range(26):
        size = rng.choice((0.006, 0.008, 0.011))
        c.disc((1.0, 1.0, 0.92), (rng.uniform(-FAR, FAR) * 0.6, rng.uniform(-0.5, horizon)), size, soft=0.008)
    planet = jitter(rng.choice(((0.95, 0.55, 0.30), (0.30, 0.70, 0.90), (0.85, 0.40, 0.65), (0.45, 0.80, 0.50))), rng)
    side = rng.choice((-1, 1))
    at, size = (side * rng.uniform(0.22, 0.36), rng.uniform(-0.36, -0.24)), rng.uniform(0.085, 0.125)
    c.disc(planet, at, size)
    c.disc(scaled(planet, 1.25), (at[0] - size * 0.22, at[1] - size * 0.22), size * 0.68, soft=size * 0.5)
    if rng.random() < 0.6:
        c.disc((0.95, 0.87, 0.70), at, (size * 1.75, size * 0.20), opacity=0.9)
        c.disc(planet, (at[0], at[1] - size * 0.12), (size * 0.96, size * 0.14))
    c.disc((0.85, 0.87, 0.95), (-side * rng.uniform(0.15, 0.42), rng.uniform(-0.42, -0.30)), 0.04)
    c.ground((0.50, 0.50, 0.58), near((0.68, 0.68, 0.74), rng), horizon, (0.02, 1.4, rng.uniform(0, 6.3)))
    for x in spread(rng, 0.28):
        at, size = (x, rng.uniform(horizon + 0.05, 0.47)), rng.uniform(0.05, 0.085)
        c.disc((0.76, 0.76, 0.82), (at[0], at[1] + 0.008), (size, size * 0.30))
        c.disc((0.42, 0.42, 0.50), at, (size * 0.92, size * 0.25))


def under_water(c: Canvas, rng: random.Random) -> None:
    """Paint blue water that darkens with depth, rays from above, bubbles, weeds and corals on a pale floor."""
    floor = rng.uniform(0.10, 0.18)
    c.sky(near((0.28, 0.78, 0.90), rng), (0.03, 0.30, 0.56), floor)
    for _ in range(4):
        x, wide = rng.uniform(-0.7, 0.7), rng.uniform(0.08, 0.16)
        c.triangle((0.75, 0.96, 1.0), (0.75, 0.96, 1.0), (x, -0.56), wide, floor + 0.62, top=0.02, opacity=0.16)
    for x in spread(rng, 0.55):
        c.disc((0.06, 0.36, 0.56), (x, floor + 0.05), (rng.uniform(0.22, 0.32), rng.uniform(0.12, 0.24)), soft=0.02)
    for x in spread(rng, 0.30):
        _weed(c, rng, x, floor + 0.05)
    c.ground(
        near((0.46, 0.68, 0.68), rng), (0.74, 0.80, 0.66), floor, (0.018, rng.uniform(0.7, 1.1), rng.uniform(0, 6.3))
    )
    for x in spread(rng, 0.42):
        _coral(c, rng, x, floor + rng.uniform(0.03, 0.07))
    for _ in range(13):
        at, size = (rng.uniform(-FAR, FAR) * 0.5, rng.uniform(-0.48, floor)), rng.uniform(0.010, 0.024)
        c.disc((0.86, 0.98, 1.0), at, size, opacity=0.85)
        c.disc((0.22, 0.66, 0.84), (at[0] + size * 0.1, at[1] + size * 0.1), size * 0.68)


def _weed(c: Canvas, rng: random.Random, x: float, foot: float) -> None:
    """Paint swaying blades as discs along a wave."""
    green, high, phase = jitter((0.10, 0.50, 0.34), rng), rng.uniform(0.18, 0.34), rng.uniform(0, 6.3)
    for blade in (-0.03, 0.03):
        for i in range(9):
            up = i / 8
            sway = 0.018 * math.sin(phase + 5 * up + blade * 20)
            c.disc(green, (x + blade + sway, foot - up * high * (1 + blade * 6)), (0.019 * (1.1 - 0.7 * up), 0.03))


def _coral(c: Canvas, rng: random.Random, x: float, foot: float) -> None:
    """Paint a bush of rounded fingers."""
    colour = jitter(rng.choice(((0.98, 0.42, 0.42), (0.95, 0.55, 0.75), (0.98, 0.66, 0.28), (0.70, 0.45, 0.85))), rng)
    size = rng.uniform(0.8, 1.2)
    for dx, high in ((-0.058, 0.055), (0.058, 0.065), (-0.026, 0.095), (0.028, 0.110)):
        c.box(colour, (x + dx * size, foot - high * size / 2), (0.016 * size, high * size / 2))
        c.disc(colour, (x + dx * size, foot - high * size), 0.020 * size)
    c.disc(scaled(colour, 0.85), (x, foot), (0.085 * size, 0.020))


def _house(c: Canvas, rng: random.Random, x: float, foot: float) -> None:
    half, high = rng.uniform(0.085, 0.105), rng.uniform(0.22, 0.42)
    dark = jitter((0.21, 0.18, 0.38), rng, 0.03)
    c.box(dark, (x, foot - high / 2), (half, high / 2))
    lit = rng.choice(((1.0, 0.85, 0.40), (1.0, 0.75, 0.35), (0.65, 0.85, 1.0)))
    c.grid(lit, (x, foot - high / 2 - 0.015), (half * 0.82, high / 2 * 0.8), (3, round(high * 12)), 0.5)
