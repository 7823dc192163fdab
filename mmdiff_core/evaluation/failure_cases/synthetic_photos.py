"""Synthetic photos, since no real photo ships with this project.

``photographed`` adds to a rendered toy what a camera at home adds; the drawings have nothing in common with the
renderer. They show how far a photo may be from the toy world, not how well real photos work.
"""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from mmdiff_core.referee.augment import blurred, jpeg
from mmdiff_core.toyworld.render.renderer import Rendered

_FINE = 4  # times larger than needed, so that lines are smooth
_PAPER = (247, 243, 232)
_INK = (52, 46, 44)


def photographed(rng: random.Random, rendered: Rendered) -> Tensor:
    """Put renders (B, 3, H, W) of one toy each before clutter, with blur, noise, a colour cast and JPEG artefacts."""
    return torch.stack([_photograph(rng, *pair) for pair in zip(rendered.images, rendered.masks[:, 0], strict=True)])


def _photograph(rng: random.Random, image: Tensor, mask: Tensor) -> Tensor:
    """Photograph the toy of an image (3, H, W) that a mask (H, W) bool covers."""
    height, width = mask.shape
    scene = torch.where(mask, image.cpu(), clutter(rng, height, width))
    scene = blurred(scene, rng.uniform(0.6, 1.0) * width / 96)
    cast = torch.tensor([rng.uniform(0.75, 1.15) for _ in range(3)]).view(3, 1, 1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    vignette = 1 - 0.35 * (x.square() + y.square()) / 2
    grain = torch.randn(scene.shape, generator=_generator(rng)) * rng.uniform(0.03, 0.06)
    return jpeg((scene * cast * vignette + grain).clamp(0, 1), quality=30)


def clutter(rng: random.Random, height: int, width: int) -> Tensor:
    """Return a background (3, H, W) in [0, 1] with the spectrum of natural images, 1/f."""
    generator = _generator(rng)
    white = torch.fft.rfft2(torch.randn(3, height, width, generator=generator))
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None])
    pink = torch.fft.irfft2(white / frequency.clamp(min=1 / max(height, width)), (height, width))
    grey = pink.mean(0, keepdim=True)  # natural colours vary less than their brightness
    mixed = 0.7 * grey / grey.std() + 0.3 * pink / pink.std()
    return (0.45 + 0.17 * mixed).clamp(0, 1)


def drawn_cat(size: tuple[int, int], turned: float = 0.0) -> Tensor:
    """Draw a cat in crayon on paper, (3, H, W) in [0, 1]; ``size`` is (width, height), ``turned`` in degrees."""
    sheet = _Sheet(size)
    fur, belly = (224, 140, 60), (250, 226, 196)
    sheet.blob(0.50, 0.70, 0.20, 0.24, fur)
    sheet.blob(0.50, 0.74, 0.11, 0.16, belly)
    sheet.curve([(0.69, 0.82), (0.82, 0.76), (0.80, 0.58), (0.86, 0.50)], fur, 0.05)
    for side in (-1, 1):
        sheet.triangle([(0.5 + side * 0.17, 0.30), (0.5 + side * 0.20, 0.10), (0.5 + side * 0.05, 0.20)], fur)
        sheet.blob(0.5 + side * 0.10, 0.93, 0.07, 0.04, fur)
    sheet.blob(0.50, 0.34, 0.19, 0.17, fur)
    for side in (-1, 1):
        sheet.blob(0.5 + side * 0.075, 0.32, 0.028, 0.036, (80, 140, 80))
        for rise in (-0.02, 0.02):
            start, end = (0.5 + side * 0.06, 0.41), (0.5 + side * 0.24, 0.41 + rise)
            sheet.curve([start, end], _INK, 0.006)
    sheet.triangle([(0.475, 0.385), (0.525, 0.385), (0.50, 0.415)], (230, 120, 130))
    return sheet.finish(turned)


def drawn_mushroom(size: tuple[int, int], turned: float = 0.0) -> Tensor:
    """Draw a toadstool, which the toy world does not have; arguments as for :func:`drawn_cat`."""
    sheet = _Sheet(size)
    sheet.blob(0.50, 0.70, 0.11, 0.24, (240, 232, 214))
    sheet.dome(0.50, 0.52, 0.34, 0.36, (206, 44, 40))
    for x, y, r in ((0.38, 0.38, 0.045), (0.52, 0.28, 0.055), (0.66, 0.40, 0.045), (0.52, 0.45, 0.03)):
        sheet.blob(x, y, r, r, (250, 246, 240), outline=False)
    for x in (0.34, 0.62, 0.70):
        sheet.curve([(x, 0.97), (x + 0.02, 0.88)], (70, 130, 60), 0.012)
    return sheet.finish(turned)


class _Sheet:
    """Paper to draw on; coordinates are fractions of its sides."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size, (width, height) = size, (size[0] * _FINE, size[1] * _FINE)
        self.image = Image.new("RGB", (width, height), _PAPER)
        self.draw, self.unit = ImageDraw.Draw(self.image), min(width, height)
        self.line = max(1, round(0.009 * self.unit))

    def blob(
        self, x: float, y: float, rx: float, ry: float, colour: tuple[int, int, int], outline: bool = True
    ) -> None:
        """Draw a filled ellipse."""
        box = self._points([(x - rx, y - ry), (x + rx, y + ry)])
        self.draw.ellipse(box, colour, _INK if outline else None, self.line)

    def dome(self, x: float, y: float, rx: float, ry: float, colour: tuple[int, int, int]) -> None:
        """Draw the upper half of an ellipse."""
        box = self._points([(x - rx, y - ry), (x + rx, y + ry)])
        self.draw.chord(box, 180, 360, colour, _INK, self.line)

    def triangle(self, corners: list[tuple[float, float]], colour: tuple[int, int, int]) -> None:
        self.draw.polygon(self._points(corners), colour, _INK, self.line)

    def curve(self, points: list[tuple[float, float]], colour: tuple[int, int, int], width: float) -> None:
        thick = max(1, round(width * self.unit))
        self.draw.line(self._points(points), colour, thick, joint="curve")

    def finish(self, turned: float) -> Tensor:
        """Turn the drawing and reduce it to its size."""
        turned_ = self.image.rotate(turned, Image.Resampling.BICUBIC, fillcolor=_PAPER)
        small = turned_.resize(self.size, Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(small)).movedim(-1, 0).float() / 255

    def _points(self, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        left, top = ((side - self.unit) / 2 for side in self.image.size)
        return [(left + x * self.unit, top + y * self.unit) for x, y in points]


def _generator(rng: random.Random) -> torch.Generator:
    return torch.Generator().manual_seed(math.floor(rng.random() * 2**31))
