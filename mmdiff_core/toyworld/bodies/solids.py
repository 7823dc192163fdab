"""Parts, and the small vocabulary in which a toy's anatomy is written down.

Toy space: x to the toy's left hand as we face it (our right), y up from the ground, z towards us; a toy at rest looks
along z. Recipes may use any scale: ``Builder.finish`` puts the feet on the ground and makes the toy one unit tall.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from mmdiff_core.toyworld.render.colours import FIXED, RGB, Look
from mmdiff_core.toyworld.render.shapes import Shape

Vec = tuple[float, float, float]
Axes = tuple[Vec, Vec, Vec]  # the part's own x, y and z axis in toy space

UPRIGHT: Vec = (0.0, 0.0, 0.0)


class Part(NamedTuple):
    """One solid of a toy, in toy space."""

    shape: Shape
    centre: Vec
    size: Vec  # half sizes along the part's own axes
    axes: Axes
    extra: float  # see Shape
    colour: RGB
    gloss: float
    patterned: bool

    def reach(self, direction: Vec) -> float:
        """Half of the part's extent along a unit direction."""
        along = [s * dot(axis, direction) for s, axis in zip(self.size, self.axes, strict=True)]
        if self.shape is Shape.BALL:
            return math.hypot(*along)
        if self.shape is Shape.BOX:
            return sum(map(abs, along))
        if self.shape is Shape.CAPSULE:
            return math.hypot(*along) + abs(along[1]) * self.extra
        return math.hypot(along[0], along[2]) + abs(along[1])


class Anchor(NamedTuple):
    """A place to put an accessory: its middle and how wide the toy is there."""

    at: Vec
    radius: float


class Builder:
    """Collects the parts of one toy.

    ``paint`` names a colour: "main" carries the identity's pattern, "solid" is the main colour without it, "second"
    and "accent" are the identity's other colours, and the rest are the colours that do not vary (``colours.FIXED``).
    ``turn`` is (nod, yaw, roll) in degrees. ``twin`` adds the mirror image on the other side of the toy.
    """

    def __init__(self, look: Look) -> None:
        self.look = look
        self.parts: list[Part] = []
        self.crown: Anchor | None = None
        self.neck: Anchor | None = None

    def ball(self, paint: str, at: Vec, size: Vec | float, turn: Vec = UPRIGHT, *, twin: bool = False) -> Part:
        """An ellipsoid with half axes ``size``."""
        return self._add(Shape.BALL, paint, at, size, turn, 0.0, twin)

    def box(self, paint: str, at: Vec, size: Vec | float, turn: Vec = UPRIGHT, *, twin: bool = False) -> Part:
        """A box with half sides ``size``, its corners rounded."""
        return self._add(Shape.BOX, paint, at, size, turn, 0.0, twin)

    def tube(self, paint: str, at: Vec, size: Vec, turn: Vec = UPRIGHT, *, twin: bool = False) -> Part:
        """An upright cylinder with half sizes ``size``."""
        return self._add(Shape.CYLINDER, paint, at, size, turn, 0.0, twin)

    def cone(
        self, paint: str, at: Vec, size: Vec, turn: Vec = UPRIGHT, *, top: float = 0.0, twin: bool = False
    ) -> Part:
        """An upright cone around ``at``; ``top`` is its radius above over its radius below (more than 1: a bowl)."""
        return self._add(Shape.CONE, paint, at, size, turn, top, twin)

    def limb(self, paint: str, start: Vec, end: Vec, radius: float, *, twin: bool = False) -> Part:
        """A capsule from ``start`` to ``end``."""
        along = tuple(e - s for s, e in zip(start, end, strict=True))
        length = math.hypot(*along)
        middle = tuple((s + e) / 2 for s, e in zip(start, end, strict=True))
        axes = _axes_along((along[0] / length, along[1] / length, along[2] / length))
        extra = length / 2 / radius
        part = self._part(Shape.CAPSULE, paint, (middle[0], middle[1], middle[2]), (radius,) * 3, axes, extra)
        return self._keep(part, twin)

    def chain(self, paint: str, points: list[Vec], radius: float, *, thin: float = 1.0) -> None:
        """Capsules through ``points``, each ``thin`` times as thick as the one before: tails and trunks."""
        for start, end in pairwise(points):
            self.limb(paint, start, end, radius)
            radius *= thin

    def finish(self, heading: float, widest: float = 1.15) -> Figure:
        """Turn the toy by ``heading`` degrees, stand it on the ground, and make it one unit tall.

        A toy that would then be wider than ``widest`` is made smaller instead.
        """
        parts = [_turned(part, heading) for part in self.parts]
        reach = [(part.reach((1, 0, 0)), part.reach((0, 1, 0)), part.reach((0, 0, 1))) for part in parts]
        low = min(part.centre[1] - r[1] for part, r in zip(parts, reach, strict=True))
        height = max(part.centre[1] + r[1] for part, r in zip(parts, reach, strict=True)) - low
        wide = max(abs(part.centre[0]) + r[0] for part, r in zip(parts, reach, strict=True))
        deep = max(abs(part.centre[2]) + r[2] for part, r in zip(parts, reach, strict=True))
        scale = min(1 / height, widest / 2 / max(wide, 0.8 * deep))
        place = _Placing(scale, low, heading)
        return Figure(
            tuple(place.part(part) for part in parts),
            wide * scale,
            deep * scale,
            height * scale,
            self.crown and place.anchor(self.crown),
            self.neck and place.anchor(self.neck),
        )

    def _add(self, shape: Shape, paint: str, at: Vec, size: Vec | float, turn: Vec, extra: float, twin: bool) -> Part:
        size = (size, size, size) if isinstance(size, float) else size
        return self._keep(self._part(shape, paint, at, size, axes_of(turn), extra), twin)

    def _part(self, shape: Shape, paint: str, at: Vec, size: Vec, axes: Axes, extra: float) -> Part:
        colour, gloss = self.look.paint(paint) if paint in Look.PAINTS else FIXED[paint]
        return Part(shape, at, size, axes, extra, colour, gloss, paint == "main")

    def _keep(self, part: Part, twin: bool) -> Part:
        self.parts.append(part)
        if twin:
            self.parts.append(_mirrored(part))
        return part


class Figure(NamedTuple):
    """A finished body: parts in toy space, half width, half depth, height, and where accessories go."""

    parts: tuple[Part, ...]
    wide: float
    deep: float
    height: float
    crown: Anchor | None
    neck: Anchor | None


class _Placing(NamedTuple):
    """The move that stands a toy on the ground at its final size."""

    scale: float
    low: float
    heading: float

    def vec(self, v: Vec) -> Vec:
        return v[0] * self.scale, (v[1] - self.low) * self.scale, v[2] * self.scale

    def part(self, part: Part) -> Part:
        size = tuple(s * self.scale for s in part.size)
        return part._replace(centre=self.vec(part.centre), size=(size[0], size[1], size[2]))

    def anchor(self, anchor: Anchor) -> Anchor:
        return Anchor(self.vec(_spin(anchor.at, self.heading)), anchor.radius * self.scale)


def on(part: Part, yaw: float, pitch: float, depth: float = 1.0) -> Vec:
    """The point of an upright ball's surface that looks ``yaw`` degrees to our right and ``pitch`` degrees up."""
    y, p = math.radians(yaw), math.radians(pitch)
    unit = (math.sin(y) * math.cos(p), math.sin(p), math.cos(y) * math.cos(p))
    x, up, z = (c + depth * s * u for c, s, u in zip(part.centre, part.size, unit, strict=True))
    return x, up, z


def dot(a: Vec, b: Vec) -> float:
    """Scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def axes_of(turn: Vec) -> Axes:
    """Axes of a part rolled about z, then nodded about x, then turned about y; degrees."""
    nod, yaw, roll = (math.radians(a) for a in turn)
    cn, sn, cy, sy, cr, sr = math.cos(nod), math.sin(nod), math.cos(yaw), math.sin(yaw), math.cos(roll), math.sin(roll)
    return (
        (cy * cr + sy * sn * sr, cn * sr, -sy * cr + cy * sn * sr),
        (-cy * sr + sy * sn * cr, cn * cr, sy * sr + cy * sn * cr),
        (sy * cn, -sn, cy * cn),
    )


def _axes_along(up: Vec) -> Axes:
    """Any axes whose y is ``up``."""
    helper: Vec = (0.0, 0.0, 1.0) if abs(up[2]) < 0.9 else (1.0, 0.0, 0.0)
    side = _cross(up, helper)
    length = math.hypot(*side)
    side = (side[0] / length, side[1] / length, side[2] / length)
    return side, up, _cross(side, up)


def _cross(a: Vec, b: Vec) -> Vec:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _mirrored(part: Part) -> Part:
    """The mirror image at -x. Solids are symmetric, so that mirrored axes may stay left-handed."""
    x, y, z = (_flip(axis) for axis in part.axes)
    return part._replace(centre=_flip(part.centre), axes=(x, y, z))


def _flip(v: Vec) -> Vec:
    return -v[0], v[1], v[2]


def _spin(v: Vec, degrees: float) -> Vec:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return c * v[0] + s * v[2], v[1], c * v[2] - s * v[0]


def _turned(part: Part, degrees: float) -> Part:
    x, y, z = (_spin(axis, degrees) for axis in part.axes)
    return part._replace(centre=_spin(part.centre, degrees), axes=(x, y, z))
