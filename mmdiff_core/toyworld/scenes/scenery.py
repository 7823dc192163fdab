"""What several backgrounds share: slightly varying colours, rows of objects, clouds."""

from __future__ import annotations

import random

from mmdiff_core.toyworld.render.colours import RGB, jitter
from mmdiff_core.toyworld.scenes.canvas import Canvas

FAR = 1.6  # repeated objects reach this far to both sides, for wide images


def near(colour: RGB, rng: random.Random) -> RGB:
    """Vary a colour a little from one background to the next."""
    return jitter(colour, rng, 0.04)


def scaled(colour: RGB, by: float) -> RGB:
    """Lighten or darken a colour."""
    r, g, b = (min(1.0, c * by) for c in colour)
    return r, g, b


def spread(rng: random.Random, pitch: float, loose: float = 0.35) -> list[float]:
    """Return positions across the widest image, about ``pitch`` apart."""
    start = -FAR + rng.random() * pitch
    return [start + i * pitch + rng.uniform(-loose, loose) * pitch for i in range(int(2 * FAR / pitch))]


def clouds(c: Canvas, rng: random.Random, colour: RGB, count: int) -> None:
    """Paint soft clouds, about ``count`` in a square image."""
    for x in spread(rng, 1.2 / count):
        y, size = rng.uniform(-0.42, -0.22), rng.uniform(0.05, 0.075)
        for dx, dy, scale in ((-1.1, 0.25, 0.75), (1.1, 0.3, 0.7), (0.0, 0.0, 1.0)):
            c.disc(colour, (x + dx * size, y + dy * size), (size * scale * 1.15, size * scale * 0.72), soft=0.02)
