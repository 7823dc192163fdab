"""A canvas for backgrounds: gradients and big soft shapes with antialiased edges.

Coordinates: x to the right and y down from the centre, in units of the shorter side. A square image reaches from -0.5
to 0.5, and a longer one shows more of the same background.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mmdiff_core.toyworld.render.colours import RGB


class _Window(NamedTuple):
    """A section of the image, which is painted in place, and its coordinates."""

    image: Tensor  # (3, h, w)
    x: Tensor  # (w,)
    y: Tensor  # (h,)


class Canvas:
    """An image (3, H, W) that is painted from back to front."""

    def __init__(self, height: int, width: int, device: str | torch.device) -> None:
        unit = min(height, width)
        self.height, self.width, self.pixel = height, width, 1 / unit
        self.x = (torch.arange(width, device=device) + 0.5 - width / 2) / unit
        self.y = (torch.arange(height, device=device) + 0.5 - height / 2) / unit
        self.image = torch.zeros(3, height, width, device=device)

    def sky(self, top: RGB, bottom: RGB, horizon: float) -> None:
        """Paint a gradient over the whole image that ends at the horizon."""
        highest = -self.height / 2 * self.pixel
        amount = ((self.y - highest) / (horizon - highest)).clamp(0, 1).square()
        self.image[:] = torch.lerp(self._colour(top), self._colour(bottom), amount[:, None])

    def ground(self, far: RGB, near: RGB, horizon: float, wave: tuple[float, float, float] = (0.0, 1.0, 0.0)) -> None:
        """Paint everything below a horizon, which ``wave`` (height, length, phase) bends; ``near`` is 0.5 below it."""
        first = self._row(horizon - abs(wave[0]) - self.pixel)
        y = self.y[first:, None]
        edge = horizon + wave[0] * torch.sin(math.tau * self.x / wave[1] + wave[2])
        cover = self._edge(y - edge)
        amount = ((y - horizon) / 0.5).clamp(0, 1)
        colour = torch.lerp(self._colour(far), self._colour(near), amount)
        self._blend(self.image[:, first:], colour, cover)

    def band(self, colour: RGB, top: float, bottom: float, soft: float = 0.0) -> None:
        """Paint a horizontal band from ``top`` to ``bottom``."""
        soft = max(soft, self.pixel)
        cover = self._edge(self.y - top, soft) * self._edge(bottom - self.y, soft)
        self._blend(self.image, self._colour(colour), cover[:, None])

    def disc(
        self,
        colour: RGB,
        at: tuple[float, float],
        size: tuple[float, float] | float,
        soft: float = 0.0,
        opacity: float = 1.0,
        below: float | None = None,
    ) -> None:
        """Paint an ellipse with half axes ``size``; ``soft`` blurs its edge, ``below`` cuts off everything lower."""
        rx, ry = (size, size) if isinstance(size, float) else size
        soft = max(soft, self.pixel)
        window = self._window(at[0], at[1], rx + soft, ry + soft)
        if window is None:
            return
        target, x, y = window
        far = (((x - at[0]) / rx).square() + ((y - at[1]) / ry).square()[:, None]).sqrt_()
        steep = min(rx, ry) / soft
        cover = far.mul_(-steep).add_(steep + 0.5).clamp_(0, 1)
        if opacity != 1:
            cover *= opacity
        if below is not None:
            cover = cover * self._edge(below - y)[:, None]
        self._blend(target, self._colour(colour), cover)

    def box(self, colour: RGB, at: tuple[float, float], size: tuple[float, float], opacity: float = 1.0) -> None:
        """Paint a rectangle with half sides ``size``."""
        window = self._window(at[0], at[1], size[0] + self.pixel, size[1] + self.pixel)
        if window is None:
            return
        target, x, y = window
        across, down = self._edge(size[0] - (x - at[0]).abs()), self._edge(size[1] - (y - at[1]).abs())
        if opacity != 1:
            down *= opacity
        self._blend(target, self._colour(colour), down[:, None] * across)

    def triangle(
        self,
        left: RGB,
        right: RGB,
        tip: tuple[float, float],
        half: float,
        high: float,
        top: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """Paint a peak with its tip (``top`` wide) up and its two sides in different light."""
        middle = tip[1] + high / 2
        window = self._window(tip[0], middle, half + self.pixel, high / 2 + self.pixel)
        if window is None:
            return
        target, x, y = window
        down = ((y - tip[1]) / high).clamp(0, 1)[:, None]
        away = x - tip[0]
        cover = self._edge(top + (half - top) * down - away.abs()) * self._edge(high / 2 - (y - middle).abs())[:, None]
        side = self._edge(away, 2 * self.pixel)
        self._blend(target, torch.lerp(self._colour(left), self._colour(right), side), cover * opacity)

    def grid(
        self, colour: RGB, at: tuple[float, float], size: tuple[float, float], counts: tuple[int, int], fill: float
    ) -> None:
        """Paint ``counts`` (columns, rows) small rectangles inside a rectangle: lit windows."""
        window = self._window(at[0], at[1], *size)
        if window is None:
            return
        target, x, y = window
        masks = []
        for u, middle, half, count in ((x, at[0], size[0], counts[0]), (y, at[1], size[1], counts[1])):
            pitch = 2 * half / count
            inside = torch.remainder(u - middle + half, pitch) - pitch / 2
            masks.append(self._edge(fill * pitch / 2 - inside.abs()))
        self._blend(target, self._colour(colour), masks[1][:, None] * masks[0])

    def chequers(self, colour: RGB, top: float, vanishing: float, pitch: float) -> None:
        """Paint every other tile of a floor below ``top`` whose lines meet at the height ``vanishing``, above it.

        Tiles are ``pitch`` wide where the floor is one unit below the vanishing point.
        """
        first = self._row(top)
        depth = (self.y[first:, None] - vanishing).clamp_min(self.pixel)
        across, along = self.x / depth / pitch, 0.42 / depth / pitch
        odd = torch.sin(math.pi * across) * torch.sin(math.pi * along)
        sharp = (depth * pitch / self.pixel).clamp_min(1.0) * 0.8  # an edge is about a pixel wide
        self._blend(self.image[:, first:], self._colour(colour), (odd * sharp + 0.5).clamp(0, 1))

    def _edge(self, inside: Tensor, soft: float | None = None) -> Tensor:
        """Return 0 to 1 across an edge that is ``soft`` wide; ``inside`` is the distance into the shape."""
        return (inside / (soft or self.pixel)).add_(0.5).clamp_(0, 1)

    def _blend(self, target: Tensor, colour: Tensor, cover: Tensor) -> None:
        target.lerp_(colour.expand_as(target), cover.expand_as(target))

    def _colour(self, colour: RGB) -> Tensor:
        return torch.tensor(colour, device=self.image.device).view(3, 1, 1)

    def _row(self, y: float) -> int:
        """Return the first row at or below ``y``."""
        return self._span(self.height, y, y).start

    def _window(self, x: float, y: float, rx: float, ry: float) -> _Window | None:
        """Return the section of the image around a shape; None if the shape is outside."""
        columns, rows = self._span(self.width, x - rx, x + rx), self._span(self.height, y - ry, y + ry)
        if columns.start >= columns.stop or rows.start >= rows.stop:
            return None
        return _Window(self.image[:, rows, columns], self.x[columns], self.y[rows])

    def _span(self, count: int, low: float, high: float) -> slice:
        """Return the pixels of an axis of ``count`` whose middles lie between two coordinates."""
        first = math.ceil(low / self.pixel + (count - 1) / 2)
        last = math.floor(high / self.pixel + (count - 1) / 2)
        return slice(min(max(first, 0), count), max(min(last + 1, count), 0))
