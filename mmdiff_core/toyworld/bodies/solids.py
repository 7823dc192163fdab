"""The solids of a toy, and the builder that puts them together.

Toy space: x to our right as we face the toy, y up from the ground, z towards us; a toy at rest looks along z. Builders
of toys may use any scale: ``Builder.finish`` puts the feet on the ground and makes the toy one unit tall.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from mmdiff_core.toyworld.render.colours import FIXED, RGB, ToyAttributes
from mmdiff_core.toyworld.render.shapes import SolidShape

Vec = tuple[float, float, float]
Axes = tuple[Vec, Vec, Vec]  # the solid's own x, y and z axes in toy space

UPRIGHT: Vec = (0.0, 0.0, 0.0)


class Solid(NamedTuple):
    """One solid of a toy, in toy space."""

    shape: SolidShape
    centre: Vec
    size: Vec  # half sizes along its own axes
    axes: Axes
    extra: float  # see SolidShape
    colour: RGB
    gloss: float
    patterned: bool

    def reach(self, direction: Vec) -> float:
        """Return half of the extent along a unit direction."""
        along = [s * dot(axis, direction) for s, axis in zip(self.size, self.axes, strict=True)]
        if self.shape is SolidShape.BALL:
            return math.hypot(*along)
        if self.shape is SolidShape.BOX:
            return sum(map(abs, along))
        if self.shape is SolidShape.CAPSULE:
            return math.hypot(*along) + abs(along[1]) * self.extra
        return math.hypot(along[0], along[2]) + abs(along[1])


class Anchor(NamedTuple):
    """Where an accessory goes: its middle, and how wide the toy is there."""

    at: Vec
    radius: float


class Builder:
    """Collects the solids of one toy.

    ``paint`` names a colour: "main" carries the identity's pattern, "plain" is the main colour without the pattern,
    "second" and "accent" are the identity's other colours, and the rest are the same for all identities
    (``colours.FIXED``). ``turn`` is (nod, yaw, roll) in degrees. ``twin`` adds the mirror image on the other side.
    """

    def __init__(self, attributes: ToyAttributes) -> None:
        self.attributes = attributes
        self.solids: list[Solid] = []
        self.crown: Anchor | None = None
        self.neck: Anchor | None = None

    def ball(self, paint: str, at: Vec, size: Vec | float, turn: Vec = UPRIGHT, *, twin: bool = False) -> Solid:
        """Add an ellipsoid with half axes ``size``."""
        return self._add(SolidShape.BALL, paint, at, size, turn, 0.0, twin)

    def box(self, paint: str, at: Vec, size: Vec | float, turn: Vec = UPRIGHT, *, twin: bool = False) -> Solid:
        """Add a box with half sides ``size`` and rounded corners."""
        return self._add(SolidShape.BOX, paint, at, size, turn, 0.0, twin)

    def tube(self, paint: str, at: Vec, size: Vec, turn: Vec = UPRIGHT, *, twin: bool = False) -> Solid:
        """Add an upright cylinder with half sizes ``size``."""
        return self._add(SolidShape.CYLINDER, paint, at, size, turn, 0.0, twin)

    def cone(
        self, paint: str, at: Vec, size: Vec, turn: Vec = UPRIGHT, *, top: float = 0.0, twin: bool = False
    ) -> Solid:
        """Add an upright cone around ``at``; ``top`` is its upper over its lower radius (more than 1: a bowl)."""
        return self._add(SolidShape.CONE, paint, at, size, turn, top, twin)

    def limb(self, paint: str, start: Vec, end: Vec, radius: float, *, twin: bool = False) -> Solid:
        """Add a capsule from ``start`` to ``end``."""
        along = tuple(e - s for s, e in zip(start, end, strict=True))
        length = math.hypot(*along)
        middle = tuple((s + e) / 2 for s, e in zip(start, end, strict=True))
        axes = _axes_along((along[0] / length, along[1] / length, along[2] / length))
        extra = length / 2 / radius
        solid = self._solid(SolidShape.CAPSULE, paint, (middle[0], middle[1], middle[2]), (radius,) * 3, axes, extra)
        return self._keep(solid, twin)

    def chain(self, paint: str, points: list[Vec], radius: float, *, thin: float = 1.0) -> None:
        """Add capsules through ``points``, each ``thin`` times as thick as the one before, as a tail or a trunk."""
        for start, end in pairwise(points):
            self.limb(paint, start, end, radius)
            radius *= thin

    def finish(self, heading: float, max_width: float = 1.15) -> Figure:
        """Turn the toy by ``heading`` degrees, stand it on the ground, and make it one unit tall.

        A toy that would then exceed ``max_width`` is made smaller instead.
        """
        solids = [_turned(solid, heading) for solid in self.solids]
        reach = [(solid.reach((1, 0, 0)), solid.reach((0, 1, 0)), solid.reach((0, 0, 1))) for solid in solids]
        low = min(solid.centre[1] - r[1] for solid, r in zip(solids, reach, strict=True))
        height = max(solid.centre[1] + r[1] for solid, r in zip(solids, reach, strict=True)) - low
        wide = max(abs(solid.centre[0]) + r[0] for solid, r in zip(solids, reach, strict=True))
        deep = max(abs(solid.centre[2]) + r[2] for solid, r in zip(solids, reach, strict=True))
        scale = min(1 / height, max_width / 2 / max(wide, 0.8 * deep))
        move = _Move(scale, low, heading)
        return Figure(
            tuple(move.solid(solid) for solid in solids),
            wide * scale,
            deep * scale,
            height * scale,
            self.crown and move.anchor(self.crown),
            self.neck and move.anchor(self.neck),
        )

    def _add(
        self, shape: SolidShape, paint: str, at: Vec, size: Vec | float, turn: Vec, extra: float, twin: bool
    ) -> Solid:
        size = (size, size, size) if isinstance(size, float) else size
        return self._keep(self._solid(shape, paint, at, size, axes_of(turn), extra), twin)

    def _solid(self, shape: SolidShape, paint: str, at: Vec, size: Vec, axes: Axes, extra: float) -> Solid:
        colour, gloss = self.attributes.paint(paint) if paint in ToyAttributes.PAINTS else FIXED[paint]
        return Solid(shape, at, size, axes, extra, colour, gloss, paint == "main")

    def _keep(self, solid: Solid, twin: bool) -> Solid:
        self.solids.append(solid)
        if twin:
            self.solids.append(_mirrored(solid))
        return solid


class Figure(NamedTuple):
    """A finished body: solids in toy space, half width, half depth, height, and where accessories go."""

    solids: tuple[Solid, ...]
    wide: float
    deep: float
    height: float
    crown: Anchor | None
    neck: Anchor | None


class _Move(NamedTuple):
    """The move that stands a toy on the ground at its final size."""

    scale: float
    low: float
    heading: float

    def vec(self, v: Vec) -> Vec:
        return v[0] * self.scale, (v[1] - self.low) * self.scale, v[2] * self.scale

    def solid(self, solid: Solid) -> Solid:
        size = tuple(s * self.scale for s in solid.size)
        return solid._replace(centre=self.vec(solid.centre), size=(size[0], size[1], size[2]))

    def anchor(self, anchor: Anchor) -> Anchor:
        return Anchor(self.vec(_spin(anchor.at, self.heading)), anchor.radius * self.scale)


def on(solid: Solid, yaw: float, pitch: float, depth: float = 1.0) -> Vec:
    """Return the point on an upright ball that faces ``yaw`` degrees to our right and ``pitch`` degrees up."""
    y, p = math.radians(yaw), math.radians(pitch)
    unit = (math.sin(y) * math.cos(p), math.sin(p), math.cos(y) * math.cos(p))
    x, up, z = (c + depth * s * u for c, s, u in zip(solid.centre, solid.size, unit, strict=True))
    return x, up, z


def dot(a: Vec, b: Vec) -> float:
    """Return the scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def axes_of(turn: Vec) -> Axes:
    """Return the axes of a solid rolled about z, then nodded about x, then turned about y; degrees."""
    nod, yaw, roll = (math.radians(a) for a in turn)
    cn, sn, cy, sy, cr, sr = math.cos(nod), math.sin(nod), math.cos(yaw), math.sin(yaw), math.cos(roll), math.sin(roll)
    return (
        (cy * cr + sy * sn * sr, cn * sr, -sy * cr + cy * sn * sr),
        (-cy * sr + sy * sn * cr, cn * cr, sy * sr + cy * sn * cr),
        (sy * cn, -sn, cy * cn),
    )


def _axes_along(up: Vec) -> Axes:
    """Return some axes whose y is ``up``."""
    helper: Vec = (0.0, 0.0, 1.0) if abs(up[2]) < 0.9 else (1.0, 0.0, 0.0)
    side = _cross(up, helper)
    length = math.hypot(*side)
    side = (side[0] / length, side[1] / length, side[2] / length)
    return side, up, _cross(side, up)


def _cross(a: Vec, b: Vec) -> Vec:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _mirrored(solid: Solid) -> Solid:
    """Mirror x. Solids are symmetric, so the mirrored axes may stay left-handed."""
    x, y, z = (_flip(axis) for axis in solid.axes)
    return solid._replace(centre=_flip(solid.centre), axes=(x, y, z))


def _flip(v: Vec) -> Vec:
    return -v[0], v[1], v[2]


def _spin(v: Vec, degrees: float) -> Vec:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return c * v[0] + s * v[2], v[1], c * v[2] - s * v[0]


def _turned(solid: Solid, degrees: float) -> Solid:
    x, y, z = (_spin(axis, degrees) for axis in solid.axes)
    return solid._replace(centre=_spin(solid.centre, degrees), axes=(x, y, z))
