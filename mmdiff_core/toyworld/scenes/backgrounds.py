"""Backgrounds: what stands behind the toys, and the light there."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from mmdiff_core.toyworld.render.colours import jitter
from mmdiff_core.toyworld.render.shading import Light
from mmdiff_core.toyworld.scenes import faraway, landscapes, rooms
from mmdiff_core.toyworld.scenes.canvas import Canvas


class Background(NamedTuple):
    """How a background is painted, and its light."""

    paint: Callable[[Canvas, random.Random], None]
    lamp: Light

    def light(self, seed: int) -> Light:
        """Vary the light with the seed: it comes from the left or from the right."""
        rng = random.Random(f"light:{seed}")
        side, up, toward = self.lamp.direction
        direction = (side * rng.choice((-1, 1)) * rng.uniform(0.6, 1.1), up * rng.uniform(0.8, 1.2), toward)
        return replace(self.lamp, direction=direction, key=jitter(self.lamp.key, rng, 0.03))


# Name, painter; light: direction (sideways, up, towards us), key, sky, ground, darkness of shadows.
BACKGROUNDS: dict[str, Background] = {
    name: Background(paint, Light(direction, key, sky, ground, shadow))
    for name, paint, direction, key, sky, ground, shadow in (
        ("beach", landscapes.beach, (0.6, 0.9, 0.7), (0.66, 0.63, 0.56), (0.47, 0.50, 0.55), (0.43, 0.39, 0.32), 0.42),
        ("snow", landscapes.snow, (0.5, 0.6, 0.9), (0.48, 0.50, 0.54), (0.56, 0.60, 0.66), (0.48, 0.51, 0.56), 0.34),
        (
            "forest",
            landscapes.forest,
            (0.4, 1.0, 0.6),
            (0.66, 0.67, 0.52),
            (0.40, 0.47, 0.38),
            (0.26, 0.33, 0.20),
            0.50,
        ),
        (
            "desert",
            landscapes.desert,
            (0.8, 0.6, 0.6),
            (0.78, 0.66, 0.48),
            (0.46, 0.42, 0.38),
            (0.42, 0.30, 0.20),
            0.48,
        ),
        (
            "meadow",
            landscapes.meadow,
            (0.4, 1.0, 0.8),
            (0.64, 0.63, 0.58),
            (0.46, 0.51, 0.55),
            (0.30, 0.38, 0.22),
            0.42,
        ),
        (
            "city at night",
            faraway.city,
            (0.8, 0.7, 0.6),
            (0.76, 0.66, 0.48),
            (0.34, 0.32, 0.48),
            (0.26, 0.23, 0.38),
            0.55,
        ),
        ("bedroom", rooms.bedroom, (0.6, 0.7, 0.9), (0.58, 0.54, 0.48), (0.48, 0.47, 0.47), (0.38, 0.32, 0.27), 0.42),
        ("space", faraway.space, (0.9, 0.5, 0.5), (0.86, 0.86, 0.90), (0.28, 0.27, 0.38), (0.30, 0.30, 0.34), 0.60),
        ("kitchen", rooms.kitchen, (0.3, 1.0, 0.8), (0.58, 0.57, 0.53), (0.52, 0.53, 0.54), (0.42, 0.39, 0.35), 0.36),
        (
            "under water",
            faraway.under_water,
            (0.2, 1.2, 0.6),
            (0.42, 0.60, 0.64),
            (0.34, 0.52, 0.60),
            (0.26, 0.38, 0.42),
            0.34,
        ),
        ("stage", rooms.stage, (0.7, 0.9, 0.6), (0.92, 0.84, 0.66), (0.32, 0.26, 0.28), (0.34, 0.24, 0.18), 0.58),
        (
            "sunset",
            landscapes.sunset,
            (1.0, 0.35, 0.5),
            (0.86, 0.58, 0.36),
            (0.46, 0.36, 0.46),
            (0.34, 0.22, 0.30),
            0.46,
        ),
        (
            "volcano",
            landscapes.volcano,
            (0.7, 0.3, 0.7),
            (0.92, 0.56, 0.34),
            (0.40, 0.28, 0.28),
            (0.42, 0.22, 0.16),
            0.55,
        ),
        (
            "autumn",
            landscapes.autumn,
            (0.6, 0.7, 0.7),
            (0.66, 0.60, 0.48),
            (0.48, 0.48, 0.48),
            (0.40, 0.31, 0.22),
            0.40,
        ),
    )
}

BACKGROUND_NAMES = tuple(BACKGROUNDS)


def paint_background(background: str, seed: int, height: int, width: int, device: str | torch.device) -> Tensor:
    """Paint an empty background (3, H, W) in [0, 1], a pure function of the arguments."""
    canvas = Canvas(height, width, device)
    BACKGROUNDS[background].paint(canvas, random.Random(f"place:{background}:{seed}"))
    return canvas.image.clamp_(0, 1)
