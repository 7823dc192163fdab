"""The five shapes of a toy's solids, and where an orthographic ray hits them.

Every solid has its own *local space*, in which it is as large as a unit ball: its size and rotation are in the affine
map that takes a ray there. A ray is ``q(z) = origin + z * step`` with the camera at ``z = +inf``, so the visible point
has the greatest ``z``. All rays at a solid are parallel, so ``step`` is one vector per solid.

Letters: R rays. Everything is closed form, elementwise and batched, and runs on CPU and CUDA alike.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor

MISS = -torch.inf
BOX_ROUNDING = 1.42  # a box is cut by a ball of this radius, which removes the corners
BEVEL = 0.35  # share of a box's or cylinder's half size over which its edges look round
_TINY = 1e-9

Triple = tuple[Tensor, Tensor, Tensor]


class SolidShape(IntEnum):
    """The shapes of solids; all but the ball have their axis along local y."""

    BALL = 0
    BOX = 1
    CYLINDER = 2
    CONE = 3  # ``extra``: radius at the top over radius at the bottom
    CAPSULE = 4  # ``extra``: half length of the straight part over the radius


def hit(shape: SolidShape, origin: Triple, step: Triple, extra: Tensor) -> Tensor:
    """Return the depth ``z`` (R,) at which rays enter a solid, ``MISS`` for rays that pass it.

    ``origin`` and ``step`` are three (R,) tensors each, in local space; for ``extra`` (R,) see ``SolidShape``.
    """
    if shape is SolidShape.BALL:
        return _ball(origin, step)[1]
    if shape is SolidShape.CAPSULE:
        return _capsule(origin, step, extra)
    if shape is SolidShape.BOX:
        sides = [_slab(o, s) for o, s in zip(origin, step, strict=True)]
        return _overlap(_ball(origin, step, BOX_ROUNDING), *sides)
    if shape is SolidShape.CONE:
        return _cone(origin, step, extra)
    return _overlap(_cylinder(origin, step), _slab(origin[1], step[1]))


def normal(shape: SolidShape, point: Triple, extra: Tensor) -> Triple:
    """Return the outward normal in local space, not of unit length, at points (R,) of a surface with rounded edges."""
    x, y, z = point
    if shape is SolidShape.BALL:
        return point
    if shape is SolidShape.CAPSULE:
        return x, y - torch.minimum(torch.maximum(y, -extra), extra), z
    if shape is SolidShape.BOX:
        return _bevel(x), _bevel(y), _bevel(z)
    if shape is SolidShape.CYLINDER:
        radius = (x * x + z * z).sqrt().clamp_min(_TINY)
        side = _bevel(radius) / radius
        return x * side, _bevel(y), z * side
    slope = (1 - extra) / 2
    radius = 1 - slope * (y + 1)
    wall = y.abs() < 1 - 1e-4
    return x * wall, torch.where(wall, slope * radius, y), z * wall


def _bevel(u: Tensor) -> Tensor:
    """Return 0 inside a face, growing to ``BEVEL`` at the face itself, with the sign of ``u``."""
    return u - u.clamp(BEVEL - 1, 1 - BEVEL)


def _roots(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Return both z where ``a z^2 + 2 b z + c = 0`` for a > 0, an empty interval where there is none."""
    inside = b * b - a * c
    root = inside.clamp_min(0).sqrt()
    far = torch.where(inside < 0, -MISS, (-b - root) / a)
    near = torch.where(inside < 0, MISS, (-b + root) / a)
    return far, near


def _ball(o: Triple, s: Triple, radius: float = 1.0) -> tuple[Tensor, Tensor]:
    a = s[0] * s[0] + s[1] * s[1] + s[2] * s[2]
    b = o[0] * s[0] + o[1] * s[1] + o[2] * s[2]
    c = o[0] * o[0] + o[1] * o[1] + o[2] * o[2] - radius * radius
    return _roots(a, b, c)


def _cylinder(o: Triple, s: Triple) -> tuple[Tensor, Tensor]:
    a = (s[0] * s[0] + s[2] * s[2]).clamp_min(_TINY)
    return _roots(a, o[0] * s[0] + o[2] * s[2], o[0] * o[0] + o[2] * o[2] - 1)


def _cone(o: Triple, s: Triple, top: Tensor) -> Tensor:
    """Return where a ray enters ``x^2 + z^2 <= r(y)^2`` between bottom and top.

    A ray steeper than the wall (a < 0) is inside *beyond* the roots: it enters through an end, or leaves the other
    half of the double cone, which is not between the ends, and so enters through the wall.
    """
    slope = (1 - top) / 2
    radius, change = 1 - slope * (o[1] + 1), -slope * s[1]
    a = s[0] * s[0] + s[2] * s[2] - change * change
    a = torch.where(a.abs() < _TINY, _TINY, a)
    b = o[0] * s[0] + o[2] * s[2] - radius * change
    inside = b * b - a * (o[0] * o[0] + o[2] * o[2] - radius * radius)
    one, two = (-b - inside.clamp_min(0).sqrt()) / a, (-b + inside.clamp_min(0).sqrt()) / a
    low, high = torch.minimum(one, two), torch.maximum(one, two)
    far, near = _slab(o[1], s[1])
    through_wall = torch.minimum(near, torch.where(a > 0, high, low))
    through_end = (a < 0) & ((inside < 0) | (near >= high))
    entry = torch.where(through_end, near, through_wall)
    first = torch.where(a > 0, torch.maximum(far, low), far)
    return torch.where((entry > first) & ((a < 0) | (inside > 0)), entry, MISS)


def _slab(o: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Return the interval of z where ``|o + z s| <= 1``."""
    s = torch.where(s.abs() < 1e-6, 1e-6, s)
    one, two = (-1 - o) / s, (1 - o) / s
    return torch.minimum(one, two), torch.maximum(one, two)


def _overlap(*intervals: tuple[Tensor, Tensor]) -> Tensor:
    """Return the near end of the intersection of intervals (far, near), ``MISS`` where it is empty."""
    far, near = intervals[0]
    for other_far, other_near in intervals[1:]:
        far, near = torch.maximum(far, other_far), torch.minimum(near, other_near)
    return torch.where(near > far, near, MISS)


def _capsule(o: Triple, s: Triple, half: Tensor) -> Tensor:
    """Return where a ray hits the wall between the caps, else the ball at the nearer end."""
    wall = _cylinder(o, s)[1]
    height = o[1] + wall * s[1]
    cap = _ball((o[0], o[1] - torch.where(height > 0, half, -half), o[2]), s)[1]
    return torch.where(height.abs() <= half, wall, torch.where(wall == MISS, MISS, cap))
