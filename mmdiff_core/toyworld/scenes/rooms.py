"""Rooms, each painted with a ``Canvas``; see ``backgrounds``."""

from __future__ import annotations

import random

from mmdiff_core.toyworld.render.colours import jitter
from mmdiff_core.toyworld.scenes.canvas import Canvas
from mmdiff_core.toyworld.scenes.scenery import near, scaled, spread


def bedroom(c: Canvas, rng: random.Random) -> None:
    """Paint a papered wall, a window, a bed, a wooden floor with a round rug."""
    floor = rng.uniform(0.05, 0.12)
    wall = jitter(
        rng.choice(((0.96, 0.80, 0.78), (0.78, 0.86, 0.95), (0.97, 0.90, 0.72), (0.84, 0.80, 0.94))), rng, 0.02
    )
    c.sky(wall, scaled(wall, 0.95), floor)
    for x in spread(rng, 0.16, loose=0.0):
        c.box(scaled(wall, 0.93), (x, floor - 0.75), (0.03, 0.75))
    side = rng.choice((-1, 1))
    at = (side * rng.uniform(0.20, 0.32), -0.24)
    c.box((1.0, 1.0, 1.0), at, (0.15, 0.17))
    c.box((0.55, 0.80, 0.97), at, (0.13, 0.15))
    c.box((1.0, 1.0, 1.0), at, (0.009, 0.15))
    c.box((1.0, 1.0, 1.0), at, (0.13, 0.009))
    c.ground(near((0.66, 0.45, 0.28), rng), (0.76, 0.54, 0.34), floor)
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
    c.disc(scaled(rug, 1.12), (0.0, 0.36), (0.38, 0.085))


def kitchen(c: Canvas, rng: random.Random) -> None:
    """Paint tiles on the wall, cupboards with knobs and an oven, pots on the worktop, a chequered floor."""
    floor = rng.uniform(0.10, 0.15)
    c.sky((0.93, 0.96, 0.96), (0.90, 0.94, 0.94), floor)
    joint = near((0.76, 0.84, 0.86), rng)
    for x in spread(rng, 0.10, loose=0.0):
        c.box(joint, (x, floor - 0.55), (0.003, 0.55))
    for row in range(7):
        c.band(joint, floor - 0.90 + 0.10 * row, floor - 0.894 + 0.10 * row)
    front = jitter(
        rng.choice(((0.36, 0.66, 0.62), (0.93, 0.76, 0.36), (0.82, 0.42, 0.38), (0.46, 0.60, 0.82))), rng, 0.02
    )
    _shelf(c, rng, floor - 0.40)
    top = floor - 0.17
    c.band(front, top, floor)
    c.band((0.98, 0.96, 0.92), top - 0.03, top)
    oven = rng.choice((-1, 1)) * rng.uniform(0.22, 0.34)
    for x in spread(rng, 0.21, loose=0.0):
        c.box(scaled(front, 0.88), (x, floor - 0.085), (0.004, 0.085))
        c.disc((0.97, 0.93, 0.80), (x + 0.03, floor - 0.11), 0.010)
    c.box((0.28, 0.29, 0.33), (oven, floor - 0.085), (0.115, 0.085))
    c.box((0.98, 0.62, 0.25), (oven, floor - 0.065), (0.082, 0.040))
    c.box((0.78, 0.80, 0.84), (oven, floor - 0.135), (0.095, 0.008))
    c.box(jitter((0.70, 0.72, 0.77), rng), (oven, top - 0.075), (0.062, 0.045))
    c.box((0.25, 0.25, 0.28), (oven, top - 0.124), (0.07, 0.008))
    c.ground(near((0.95, 0.92, 0.86), rng), (0.99, 0.97, 0.93), floor)
    c.chequers(
        near(rng.choice(((0.55, 0.66, 0.72), (0.74, 0.52, 0.42))), rng), floor, floor - 0.22, rng.uniform(0.26, 0.32)
    )


def stage(c: Canvas, rng: random.Random) -> None:
    """Paint heavy curtains in folds, a valance, two beams of light, boards and the lamps at their front."""
    floor = rng.uniform(0.10, 0.15)
    cloth = jitter(rng.choice(((0.72, 0.08, 0.13), (0.55, 0.07, 0.30), (0.16, 0.18, 0.52))), rng, 0.02)
    c.sky(scaled(cloth, 0.35), scaled(cloth, 0.55), floor)
    for x in spread(rng, 0.085, loose=0.1):
        c.box(scaled(cloth, 0.75), (x, floor - 0.5), (0.018, 0.5))
        c.box(scaled(cloth, 0.9), (x + 0.012, floor - 0.5), (0.006, 0.5))
    for side in (-1, 1):
        c.triangle(
            (1.0, 0.93, 0.70), (1.0, 0.93, 0.70), (side * 0.20, -0.52), 0.30, floor + 0.60, top=0.03, opacity=0.22
        )
        for fold in range(5):
            x, shade = side * (0.50 - 0.042 * fold), 1.25 if fold % 2 else 0.95
            c.box(scaled(cloth, shade), (x, floor - 0.45 + 0.03 * fold), (0.024, 0.47 - 0.03 * fold))
        c.disc((0.95, 0.76, 0.25), (side * 0.42, floor - 0.16), (0.085, 0.018))
    for x in spread(rng, 0.16, loose=0.0):
        c.disc(cloth, (x, -0.44), (0.088, 0.075))
        c.disc(scaled(cloth, 1.25), (x, -0.46), (0.072, 0.055))
    c.band((0.95, 0.76, 0.25), -0.60, -0.475)
    c.ground((0.50, 0.32, 0.18), near((0.66, 0.44, 0.25), rng), floor)
    for row in (0.04, 0.10, 0.18, 0.28):
        c.band((0.40, 0.25, 0.14), floor + row, floor + row + 0.006)
    c.disc((1.0, 0.90, 0.62), (0.0, floor + 0.20), (0.44, 0.14), soft=0.12, opacity=0.5)
    for x in spread(rng, 0.17, loose=0.0):
        c.disc((1.0, 0.95, 0.70), (x, 0.485), (0.032, 0.028), soft=0.01)


def _shelf(c: Canvas, rng: random.Random, y: float) -> None:
    """Paint a board on the wall with jars and plates."""
    middle = rng.choice((-1, 1)) * rng.uniform(0.12, 0.26)
    c.box((0.62, 0.42, 0.26), (middle, y), (0.23, 0.011))
    for i in range(4):
        x = middle - 0.165 + 0.11 * i
        colour = jitter(
            rng.choice(((0.85, 0.35, 0.30), (0.30, 0.55, 0.80), (0.95, 0.80, 0.35), (0.97, 0.97, 0.95))), rng
        )
        if rng.random() < 0.4:
            c.disc(colour, (x, y - 0.055), 0.046)
            c.disc(scaled(colour, 0.86), (x, y - 0.055), 0.028)
        else:
            c.box(colour, (x, y - 0.045), (0.032, 0.036))
            c.box((0.55, 0.36, 0.22), (x, y - 0.085), (0.026, 0.008))
