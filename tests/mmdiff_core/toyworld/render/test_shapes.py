"""Rays against solids: where they hit, and which way the surface faces there."""

from __future__ import annotations

import pytest
import torch

from mmdiff_core.toyworld.render.shapes import BOX_ROUNDING, MISS, SolidShape, Triple, hit, normal

SHAPES = [
    (SolidShape.BALL, 0.0), (SolidShape.BOX, 0.0), (SolidShape.CYLINDER, 0.0), (SolidShape.CONE, 0.0),
    (SolidShape.CONE, 0.5), (SolidShape.CONE, 1.6), (SolidShape.CAPSULE, 1.7),
]  # fmt: skip


def columns(points: torch.Tensor) -> Triple:
    x, y, z = points.unbind(1)
    return x, y, z


def inside(shape: SolidShape, q: torch.Tensor, extra: float) -> torch.Tensor:
    """Whether points (..., 3) lie in a solid, from its definition."""
    x, y, z = q.unbind(-1)
    ring = x * x + z * z
    if shape is SolidShape.BALL:
        return ring + y * y <= 1
    if shape is SolidShape.BOX:
        return (q.abs().amax(-1) <= 1) & (ring + y * y <= BOX_ROUNDING**2)
    if shape is SolidShape.CAPSULE:
        return ring + (y.abs() - extra).clamp_min(0).square() <= 1
    radius = 1 - (1 - extra) / 2 * (y + 1) if shape is SolidShape.CONE else torch.ones_like(y)
    return (y.abs() <= 1) & (ring <= radius * radius)


@pytest.mark.parametrize(("shape", "extra"), SHAPES)
def test_a_ray_stops_where_marching_along_it_first_meets_the_solid(shape: SolidShape, extra: float) -> None:
    generator = torch.Generator().manual_seed(int(shape))
    step = torch.nn.functional.normalize(torch.randn(300, 3, generator=generator), dim=1)
    origin = torch.randn(300, 3, generator=generator) * 0.8
    extras = torch.full((300,), extra)
    depth = hit(shape, columns(origin), columns(step), extras)
    z = torch.linspace(6, -6, 6001)
    solid = inside(shape, origin[:, None] + z[:, None] * step[:, None], extra)
    marched = torch.where(solid.any(1), z[solid.int().argmax(1)], MISS)
    both = (depth > MISS) & (marched > MISS)
    assert both.sum() > 60
    assert float((depth - marched)[both].abs().max()) < 0.1  # grazing rays are short inside
    assert float((depth - marched)[both].abs().median()) < 0.003
    assert ((depth > MISS) != (marched > MISS)).sum() <= 4  # rays that only graze
    point = origin[both] + depth[both, None] * step[both]
    out = torch.stack(normal(shape, columns(point), extras[both]), 1)
    bent = 0.6 if shape in (SolidShape.BOX, SolidShape.CYLINDER) else 0.05  # rounded edges may look a little away
    assert ((out * step[both]).sum(1) > -bent * out.norm(dim=1)).all()  # a surface that is seen looks at the camera


@pytest.mark.parametrize(("shape", "extra"), SHAPES)
def test_a_ray_along_the_axis_of_view_hits_the_front(shape: SolidShape, extra: float) -> None:
    zero, one = torch.zeros(1), torch.ones(1)
    depth = hit(shape, (zero, zero, zero), (zero, zero, one), torch.full((1,), extra))
    middle = (1 + extra) / 2 if shape is SolidShape.CONE else 1.0  # the radius half way up
    assert float(depth) == pytest.approx(middle, abs=1e-3)
    passing = hit(shape, (torch.full((1,), 5.0), zero, zero), (zero, zero, one), torch.full((1,), extra))
    assert float(passing) == MISS


def test_faces_are_flat_inside_and_round_at_their_edges() -> None:
    point = (torch.tensor([0.0, 0.9]), torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0]))
    x, _, z = normal(SolidShape.BOX, point, torch.zeros(2))
    assert (float(x[0]), float(z[0])) == (0.0, pytest.approx(0.35))
    assert 0 < float(x[1]) < float(z[1])
