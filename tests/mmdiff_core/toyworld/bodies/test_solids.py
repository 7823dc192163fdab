"""Solids and their builder: extents, mirror images, and a finished figure that stands on the ground."""

from __future__ import annotations

import math

import pytest
import torch

from mmdiff_core.toyworld import CLASS_NAMES
from mmdiff_core.toyworld.bodies.solids import Builder, Solid, axes_of, on
from mmdiff_core.toyworld.bodies.toys import make_toy
from mmdiff_core.toyworld.render.colours import ToyAttributes, Waves
from mmdiff_core.toyworld.render.shapes import BOX_ROUNDING, SolidShape

ATTRIBUTES = ToyAttributes(("red", "blue", "white"), ((1, 0, 0), (0, 0, 1), (1, 1, 1)), "plain", Waves())
TILTED = (math.sin(0.7), math.cos(0.7) * 0.6, math.cos(0.7) * 0.8)


@pytest.fixture
def builder() -> Builder:
    return Builder(ATTRIBUTES)


def surface(solid: Solid) -> torch.Tensor:
    """Points (n, 3) inside of a solid in toy space, dense enough to reach its surface."""
    local = torch.rand(6_000, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x, y, z = local.unbind(1)
    if solid.shape is SolidShape.CAPSULE:
        local = local * torch.tensor([1, 1 + solid.extra, 1])
        x, y, z = local.unbind(1)
        inside = x * x + z * z + (y.abs() - solid.extra).clamp_min(0) ** 2 <= 1
    elif solid.shape is SolidShape.BOX:
        inside = (local**2).sum(1) <= BOX_ROUNDING**2
    elif solid.shape is SolidShape.BALL:
        inside = (local**2).sum(1) <= 1
    else:
        inside = x * x + z * z <= 1
    scaled = local[inside] * torch.tensor(solid.size)
    return scaled @ torch.tensor(solid.axes, dtype=torch.float32) + torch.tensor(solid.centre)


def test_reach_bounds_every_shape(builder: Builder) -> None:
    solids = [
        builder.ball("main", (0.1, 0.2, 0.3), (0.3, 0.2, 0.1), (20, 30, 40)),
        builder.box("second", (0, 0, 0), (0.3, 0.2, 0.1), (20, 30, 40)),
        builder.tube("accent", (0, 0, 0), (0.2, 0.4, 0.2), (10, 0, 50)),
        builder.limb("plain", (0, 0, 0), (0.3, 0.5, 0.1), 0.1),
    ]
    for solid in solids:
        far = float(((surface(solid) - torch.tensor(solid.centre)) @ torch.tensor(TILTED)).max())
        assert 0.85 * solid.reach(TILTED) < far <= solid.reach(TILTED) + 1e-6, solid.shape


def test_a_twin_is_the_mirror_image(builder: Builder) -> None:
    solid = builder.cone("accent", (0.2, 0.5, 0.1), (0.1, 0.2, 0.05), (10, 20, 30), twin=True)
    one, other = builder.solids
    assert one is solid
    assert other.centre == (-0.2, 0.5, 0.1)
    assert other.axes[0] == (-one.axes[0][0], *one.axes[0][1:])
    assert other.size == one.size


def test_axes_are_orthonormal() -> None:
    axes = torch.tensor(axes_of((25, -70, 130)))
    torch.testing.assert_close(axes @ axes.T, torch.eye(3))
    assert float(torch.linalg.det(axes)) == pytest.approx(1)


def test_a_limb_lies_between_its_ends(builder: Builder) -> None:
    limb = builder.limb("plain", (0, 0.1, 0), (0, 0.1, 0.4), 0.05)
    assert limb.centre == pytest.approx((0, 0.1, 0.2))
    assert [abs(x) for x in limb.axes[1]] == pytest.approx([0, 0, 1])
    assert limb.extra * limb.size[1] == pytest.approx(0.2)  # half of the straight part


def test_a_chain_gets_thinner(builder: Builder) -> None:
    builder.chain("plain", [(0, 0, 0), (0, 1, 0), (0, 2, 0)], 0.2, thin=0.5)
    assert [solid.size[0] for solid in builder.solids] == [0.2, 0.1]


def test_paints_are_the_identitys_or_fixed(builder: Builder) -> None:
    main, plain, nose = (builder.ball(paint, (0, 0, 0), 0.1) for paint in ("main", "plain", "nose"))
    assert main.colour == plain.colour == (1, 0, 0)
    assert (main.patterned, plain.patterned) == (True, False)
    assert nose.colour != main.colour


def test_a_point_on_a_ball_is_on_its_surface(builder: Builder) -> None:
    ball = builder.ball("main", (0.1, 0.5, 0.2), (0.3, 0.2, 0.1))
    offset = [(p - c) / s for p, c, s in zip(on(ball, 40, 25), ball.centre, ball.size, strict=True)]
    assert math.hypot(*offset) == pytest.approx(1)
    assert offset[0] > 0
    assert offset[1] > 0


def test_a_figure_stands_on_the_ground_and_is_one_unit_tall(builder: Builder) -> None:
    builder.box("main", (0, 5, 0), (1.0, 2.0, 0.5))
    figure = builder.finish(heading=0)
    (box,) = figure.solids
    assert box.centre[1] == pytest.approx(figure.height / 2)
    assert figure.height == pytest.approx(1.0)
    assert figure.wide == pytest.approx(box.size[0])
    turned = Builder(ATTRIBUTES)
    turned.box("main", (0, 5, 0), (1.0, 2.0, 0.5))
    assert turned.finish(heading=90).wide == pytest.approx(figure.deep)


def test_a_wide_figure_is_made_smaller(builder: Builder) -> None:
    builder.box("main", (0, 0, 0), (4.0, 1.0, 1.0))
    figure = builder.finish(heading=0, max_width=1.0)
    assert 2 * figure.wide == pytest.approx(1.0)
    assert figure.height == pytest.approx(0.25)


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_toys_stand_on_the_ground_and_fit_their_height(class_name: str) -> None:
    for seed in range(20):
        figure = make_toy(class_name, seed).figure
        assert min(s.centre[1] - s.reach((0, 1, 0)) for s in figure.solids) == pytest.approx(0, abs=1e-6)
        assert max(s.centre[1] + s.reach((0, 1, 0)) for s in figure.solids) == pytest.approx(figure.height)
        assert 0.45 < figure.height <= 1 + 1e-6
