"""Landscapes, each painted with a ``Canvas``; see ``backgrounds``."""

from __future__ import annotations

import random

from mmdiff_core.toyworld.render.colours import RGB, jitter
from mmdiff_core.toyworld.scenes.canvas import Canvas
from mmdiff_core.toyworld.scenes.scenery import clouds, near, scaled, spread


def beach(c: Canvas, rng: random.Random) -> None:
    """Paint blue sky, a sun, turquoise sea, yellow sand, a parasol."""
    sea, sand = rng.uniform(-0.10, -0.02), rng.uniform(0.06, 0.12)
    c.sky(near((0.25, 0.60, 0.95), rng), (0.80, 0.93, 1.0), sea)
    side = rng.choice((-1, 1))
    c.disc((1.0, 0.95, 0.65), (side * rng.uniform(0.15, 0.40), rng.uniform(-0.42, -0.28)), 0.075, soft=0.02)
    clouds(c, rng, (1.0, 1.0, 1.0), 2)
    c.ground(near((0.05, 0.45, 0.80), rng), (0.10, 0.85, 0.85), sea)
    c.band((0.25, 0.80, 0.88), sea + 0.05, sea + 0.065, soft=0.01)
    wave = (0.012, rng.uniform(0.5, 0.9), rng.uniform(0, 6.3))
    c.ground((0.98, 1.0, 1.0), (0.98, 1.0, 1.0), sand - 0.015, wave)
    c.ground(near((0.93, 0.80, 0.55), rng), (0.99, 0.88, 0.63), sand + 0.008, wave)
    if rng.random() < 0.7:
        x, colour = -side * rng.uniform(0.28, 0.42), jitter((0.93, 0.27, 0.30), rng)
        c.box((0.95, 0.95, 0.95), (x, sand - 0.06), (0.007, 0.13))
        c.disc(colour, (x, sand - 0.13), (0.15, 0.10), below=sand - 0.13)
        c.disc((1.0, 0.97, 0.90), (x, sand - 0.13), (0.05, 0.10), below=sand - 0.13)


def snow(c: Canvas, rng: random.Random) -> None:
    """Paint pale sky, white hills, dark firs with snow on them."""
    horizon = rng.uniform(-0.08, 0.0)
    c.sky(near((0.55, 0.74, 0.92), rng), (0.90, 0.95, 1.0), horizon)
    for x in spread(rng, 0.62):
        c.triangle((0.95, 0.97, 1.0), (0.70, 0.80, 0.92), (x, horizon - rng.uniform(0.20, 0.32)), 0.40, 0.40)
    c.ground((0.84, 0.91, 0.98), (0.95, 0.97, 1.0), horizon, (0.03, 0.9, rng.uniform(0, 6.3)))
    for x in spread(rng, 0.27):
        high = rng.uniform(0.20, 0.30)
        _fir(c, (x, horizon + 0.05), high, (0.10, 0.38, 0.33), (0.07, 0.29, 0.28))
    c.ground((0.93, 0.96, 1.0), (1.0, 1.0, 1.0), horizon + 0.07, (0.02, 1.3, rng.uniform(0, 6.3)))


def forest(c: Canvas, rng: random.Random) -> None:
    """Paint deep green, big trunks, round crowns, a mossy floor."""
    horizon = rng.uniform(-0.02, 0.06)
    c.sky(near((0.14, 0.42, 0.25), rng), (0.62, 0.80, 0.48), horizon)
    for x in spread(rng, 0.22):
        c.disc(jitter((0.20, 0.52, 0.27), rng, 0.03), (x, rng.uniform(-0.30, -0.12)), (0.17, 0.15), soft=0.02)
    for x in spread(rng, 0.24):
        c.box((0.27, 0.20, 0.13), (x, horizon - 0.22), (0.024, 0.24))
    c.ground(near((0.22, 0.45, 0.18), rng), (0.36, 0.55, 0.22), horizon, (0.015, 0.8, rng.uniform(0, 6.3)))
    for x in spread(rng, 0.52):
        wide = rng.uniform(0.045, 0.065)
        c.box((0.40, 0.26, 0.15), (x, horizon - 0.20), (wide, 0.27))
        c.box((0.30, 0.19, 0.11), (x + wide * 0.5, horizon - 0.20), (wide * 0.5, 0.27))
        c.disc((0.34, 0.22, 0.13), (x, horizon + 0.065), (wide * 1.5, 0.02))
    for x in spread(rng, 0.30):
        c.disc(jitter((0.15, 0.45, 0.19), rng, 0.03), (x, -0.50 + rng.uniform(-0.05, 0.02)), (0.22, 0.13), soft=0.015)


def desert(c: Canvas, rng: random.Random) -> None:
    """Paint a hot pale sky, orange dunes, cactuses."""
    horizon = rng.uniform(-0.04, 0.03)
    c.sky(near((0.98, 0.70, 0.38), rng), (1.0, 0.92, 0.70), horizon)
    c.disc((1.0, 0.98, 0.85), (rng.uniform(-0.35, 0.35), rng.uniform(-0.38, -0.25)), 0.09, soft=0.03)
    c.ground((0.88, 0.55, 0.30), (0.88, 0.55, 0.30), horizon - 0.08, (0.05, rng.uniform(0.8, 1.2), rng.uniform(0, 6.3)))
    c.ground((0.93, 0.60, 0.30), (0.90, 0.55, 0.26), horizon, (0.035, rng.uniform(1.2, 1.8), rng.uniform(0, 6.3)))
    for x in spread(rng, 0.62):
        _cactus(c, (x, horizon + 0.10), rng.uniform(0.9, 1.2))
    c.ground(near((0.95, 0.66, 0.36), rng), (0.98, 0.75, 0.45), horizon + 0.09, (0.02, 1.5, rng.uniform(0, 6.3)))


def meadow(c: Canvas, rng: random.Random) -> None:
    """Paint a bright sky with clouds, rolling light green, big flowers."""
    horizon = rng.uniform(-0.06, 0.02)
    c.sky(near((0.36, 0.68, 0.98), rng), (0.82, 0.94, 1.0), horizon)
    clouds(c, rng, (1.0, 1.0, 1.0), 3)
    c.ground((0.45, 0.76, 0.36), (0.45, 0.76, 0.36), horizon - 0.05, (0.05, rng.uniform(0.9, 1.3), rng.uniform(0, 6.3)))
    c.ground(near((0.52, 0.82, 0.30), rng), (0.44, 0.78, 0.26), horizon + 0.03, (0.025, 1.4, rng.uniform(0, 6.3)))
    petals = rng.choice(((0.99, 0.35, 0.45), (1.0, 1.0, 1.0), (0.99, 0.85, 0.20), (0.75, 0.45, 0.95)))
    for x in spread(rng, 0.17):
        at = (x, rng.uniform(horizon + 0.09, 0.47))
        size = 0.016 + 0.035 * (at[1] - horizon)
        c.disc(petals, at, (size, size * 0.8))
        c.disc((1.0, 0.80, 0.15) if petals[1] != 0.85 else (0.85, 0.45, 0.10), at, (size * 0.42, size * 0.34))


def sunset(c: Canvas, rng: random.Random) -> None:
    """Paint a sky from violet to orange, a huge low sun, its path on a lake, black hills and reeds."""
    horizon = rng.uniform(0.02, 0.08)
    c.sky(near((0.36, 0.16, 0.50), rng), near((1.0, 0.58, 0.26), rng), horizon)
    for _ in range(4):
        y, x = rng.uniform(-0.42, -0.14), rng.uniform(-0.6, 0.6)
        c.disc((0.93, 0.42, 0.45), (x, y), (rng.uniform(0.22, 0.40), rng.uniform(0.012, 0.022)), soft=0.015)
    x, size = rng.uniform(-0.28, 0.28), rng.uniform(0.15, 0.19)
    c.disc((1.0, 0.75, 0.35), (x, horizon - 0.05), size * 1.5, soft=0.16, opacity=0.6)
    c.disc((1.0, 0.90, 0.52), (x, horizon - 0.05), size)
    for at in spread(rng, 0.46):
        c.disc(
            (0.30, 0.13, 0.33), (at, horizon + 0.02), (rng.uniform(0.20, 0.32), rng.uniform(0.05, 0.11)), below=horizon
        )
    c.ground((0.88, 0.45, 0.36), near((0.42, 0.22, 0.48), rng), horizon)
    for i in range(5):
        y = horizon + 0.018 + 0.026 * i
        c.box((1.0, 0.82, 0.48), (x + rng.uniform(-0.02, 0.02), y), (size * (0.85 - 0.11 * i), 0.006))
    c.ground((0.27, 0.15, 0.30), (0.38, 0.22, 0.34), 0.22, (0.02, rng.uniform(0.8, 1.3), rng.uniform(0, 6.3)))
    for at in spread(rng, 0.33):
        for lean in (-0.014, 0.0, 0.016):
            c.triangle((0.20, 0.10, 0.24), (0.20, 0.10, 0.24), (at + lean, 0.10 + abs(lean) * 2), 0.011, 0.16)


def volcano(c: Canvas, rng: random.Random) -> None:
    """Paint a dark red sky, a cone that glows at its top, lava that runs down and lies in cracks of black rock."""
    horizon = rng.uniform(0.02, 0.08)
    c.sky(near((0.20, 0.05, 0.08), rng), (0.62, 0.20, 0.12), horizon)
    x, tip = rng.uniform(-0.26, 0.26), rng.uniform(-0.28, -0.20)
    for step in range(5):
        drift = x + 0.05 * step * rng.choice((-1, 1))
        c.disc((0.36, 0.16, 0.17), (drift, tip - 0.03 - 0.055 * step), (0.07 + 0.025 * step, 0.05), soft=0.04)
    c.disc((1.0, 0.45, 0.12), (x, tip), 0.19, soft=0.20, opacity=0.75)
    for at in spread(rng, 0.70):
        c.triangle((0.30, 0.12, 0.14), (0.22, 0.09, 0.12), (at, horizon - rng.uniform(0.08, 0.15)), 0.30, 0.30)
    c.triangle((0.34, 0.17, 0.17), (0.22, 0.11, 0.13), (x, tip), 0.36, horizon - tip + 0.02, top=0.07)
    lava: RGB = (1.0, 0.52, 0.10)
    c.disc((1.0, 0.80, 0.30), (x, tip + 0.004), (0.07, 0.016))
    c.triangle(lava, (1.0, 0.40, 0.08), (x + rng.uniform(-0.02, 0.02), tip), 0.06, horizon - tip, top=0.022)
    side = rng.choice((-1, 1))
    c.triangle(lava, lava, (x + side * 0.05, tip + 0.02), 0.028, (horizon - tip) * rng.uniform(0.45, 0.7), top=0.010)
    c.ground((0.20, 0.13, 0.15), near((0.28, 0.20, 0.22), rng), horizon, (0.012, 0.7, rng.uniform(0, 6.3)))
    for _ in range(2):
        at, y = rng.uniform(-0.5, 0.5), rng.uniform(horizon + 0.05, 0.46)
        c.disc((0.60, 0.14, 0.06), (at, y), (rng.uniform(0.26, 0.44), 0.026))
        c.disc(lava, (at, y), (rng.uniform(0.20, 0.26), 0.014))
    for at in spread(rng, 0.36):
        y = rng.uniform(horizon + 0.03, 0.46)
        c.disc((0.13, 0.09, 0.11), (at, y), (rng.uniform(0.04, 0.07), 0.026))


def autumn(c: Canvas, rng: random.Random) -> None:
    """Paint a pale sky, round trees in yellow, orange and red, a ground strewn with leaves."""
    horizon = rng.uniform(-0.02, 0.05)
    c.sky(near((0.70, 0.80, 0.86), rng), (0.97, 0.93, 0.82), horizon)
    leaves: tuple[RGB, ...] = ((0.93, 0.64, 0.14), (0.86, 0.36, 0.12), (0.74, 0.20, 0.14), (0.96, 0.79, 0.28))
    for x in spread(rng, 0.24):
        c.disc(jitter((0.85, 0.62, 0.36), rng), (x, horizon - 0.05), (0.15, rng.uniform(0.10, 0.15)), soft=0.03)
    c.ground((0.80, 0.56, 0.26), near((0.72, 0.44, 0.20), rng), horizon, (0.015, 0.9, rng.uniform(0, 6.3)))
    for x in spread(rng, 0.34):
        top, colour, wide = horizon - rng.uniform(0.25, 0.34), jitter(rng.choice(leaves), rng), rng.uniform(0.115, 0.15)
        c.box((0.30, 0.20, 0.15), (x, horizon - 0.07), (0.018, 0.12))
        for dx, dy, size in ((-0.6, 0.45, 0.72), (0.62, 0.40, 0.70), (0.0, 0.0, 1.0)):
            c.disc(colour, (x + dx * wide, top + 0.06 + dy * wide), wide * size, soft=0.008)
        c.disc(scaled(colour, 1.15), (x - 0.3 * wide, top + 0.02), wide * 0.45, soft=0.04)
    for x in spread(rng, 0.075):
        y = rng.uniform(horizon + 0.05, 0.49)
        size = 0.008 + 0.026 * (y - horizon)
        c.disc(jitter(rng.choice(leaves), rng), (x, y), (size * 1.4, size * 0.75))


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
