"""Light on toys: a wrapped Lambert, a highlight and a rim under a sky and a ground; patterns; soft shadows.

Letters: W visible subpixels. Vectors are (3, W), scalars (W,).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from mmdiff_core.toyworld.render.colours import NEVER, RGB
from mmdiff_core.toyworld.scenes.scene import PlacedToy

_WRAP = 0.45  # how far light reaches around a toy


@dataclass(frozen=True)
class Light:
    """The light of a background. ``direction`` points to the lamp in view space; the rest comes from all sides."""

    direction: tuple[float, float, float]
    key: RGB
    sky: RGB
    ground: RGB
    shadow: float = 0.45  # how dark the ground gets under a toy

    @cached_property
    def table(self) -> Tensor:
        """Return (15,): direction, direction halfway to the camera, key, sky, ground."""
        toward = torch.nn.functional.normalize(torch.tensor(self.direction), dim=0)
        half = torch.nn.functional.normalize(toward + torch.tensor((0.0, 0.0, 1.0)), dim=0)
        return torch.cat((toward, half, torch.tensor((*self.key, *self.sky, *self.ground))))


class Surface(NamedTuple):
    """What is known of each visible subpixel."""

    normal: Tensor  # (3, W) view space, unit length
    local: Tensor  # (3, W) in the solid's own space
    point: Tensor  # (3, W) toy space
    colour: Tensor  # (3, W) of the solid
    gloss: Tensor  # (W,)
    patterned: Tensor  # (W,) bool
    toy: Tensor  # (W,) long
    patterns: Tensor  # (17, T) see Toy.pattern
    lights: Tensor  # (15, T) see Light.table


def shade(surface: Surface) -> Tensor:
    """Return the colour (3, W) of the surface in its light; it may exceed 1."""
    albedo = _painted(surface)
    toward, half, key, sky, ground = surface.lights.index_select(1, surface.toy).split(3)
    normal = surface.normal
    lambert = (((normal * toward).sum(0) + _WRAP) / (1 + _WRAP)).clamp_min_(0)
    ambient = torch.lerp(ground, sky, 0.5 + 0.5 * normal[1])
    occlusion = 0.66 + 0.34 * (surface.point[1] * 3.5).clamp_(0, 1)  # darker near the ground
    colour = albedo * (ambient + key * lambert) * occlusion
    shine = (normal * half).sum(0).clamp_min_(0).square_().square_().square_().square_().square_()  # ** 32
    rim = (1 - normal[2]).clamp_min_(0).square_() * (0.6 + 0.4 * normal[1])
    return colour + key * (shine * surface.gloss * 0.75) + sky * (rim * 0.28)


def _painted(surface: Surface) -> Tensor:
    """Return the colour of the solids with the identities' patterns on them."""
    waved = _points_of(surface, surface.patterns[12] < NEVER)
    dotted = _points_of(surface, surface.patterns[13] < NEVER)
    colour = surface.colour.clone()
    for where, covers, space in ((waved, _waves, surface.point), (dotted, _dots, surface.local)):
        pattern = surface.patterns.index_select(1, surface.toy[where])
        second = covers(pattern, space.index_select(1, where))
        colour[:, where[second]] = pattern[14:17, second]
    return colour


def _points_of(surface: Surface, toys: Tensor) -> Tensor:
    """Return the indices of the points on patterned solids of some toys (T,) bool."""
    return (surface.patterned & toys[surface.toy]).nonzero().squeeze(1)


def _waves(pattern: Tensor, point: Tensor) -> Tensor:
    """Return where the second colour of stripes, patches and two halves shows; see ``colours.Waves``."""
    total = torch.zeros_like(point[0])
    for i in range(3):
        along = (pattern[3 * i : 3 * i + 3] * point).sum(0)
        total += torch.sin(math.tau * along + pattern[9 + i])
    return total > pattern[12]


def _dots(pattern: Tensor, local: Tensor) -> Tensor:
    """Return where round dots show, at the corners of an icosahedron around each solid."""
    unit = torch.nn.functional.normalize(local, dim=0)
    a, b = 0.5257311, 0.8506508  # the corners are (0, a, b), (a, b, 0), (b, 0, a) with all signs
    x, y, z = unit.abs()
    nearest = torch.maximum(torch.maximum(a * y + b * z, a * x + b * y), b * x + a * z)
    return nearest > pattern[13]


def soft_shadow(image: Tensor, placed: PlacedToy, light: Light, tilt: float) -> None:
    """Darken the ground under a toy, in place: a tight shadow where it stands, a wide one away from the light."""
    _, height, width = image.shape
    unit = min(height, width)
    figure = placed.toy.figure
    turn = math.radians(placed.yaw)
    wide = placed.height * math.hypot(figure.wide * math.cos(turn), figure.deep * math.sin(turn))
    deep = placed.height * math.hypot(figure.wide * math.sin(turn), figure.deep * math.cos(turn))
    flat = math.sin(math.radians(tilt)) + 0.08
    x = (torch.arange(width, device=image.device) + 0.5 - (0.5 + placed.x) * width) / unit
    y = (torch.arange(height, device=image.device) + 0.5 - height / 2) / unit - placed.y
    dark = torch.zeros(height, width, device=image.device)
    for size, away, strength in ((0.85, 0.0, 1.0), (1.35, 0.35, 0.55)):
        shift = -light.direction[0] * away * wide
        across = torch.exp(-(((x - shift) / (wide * size)) ** 2) * 1.4)
        along = torch.exp(-((y / (max(deep, wide * 0.5) * size * flat)) ** 2) * 1.4)
        dark = torch.maximum(dark, strength * along[:, None] * across[None, :])
    image *= 1 - light.shadow * dark
