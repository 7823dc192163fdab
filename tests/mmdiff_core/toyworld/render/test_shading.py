"""Light on surfaces, patterns, and the shadow on the ground."""

from __future__ import annotations

import pytest
import torch

from mmdiff_core.toyworld import make_toy
from mmdiff_core.toyworld.render.shading import Light, Surface, shade, soft_shadow
from mmdiff_core.toyworld.scenes.scene import PlacedToy

LIGHT = Light((0.0, 1.0, 0.0), (0.6, 0.6, 0.6), (0.3, 0.3, 0.4), (0.2, 0.15, 0.1))


def surface(normals: list[tuple[float, float, float]], **changes: torch.Tensor) -> Surface:
    """A grey, dull surface of one toy that looks in these directions, high above the ground."""
    count = len(normals)
    toy = next(make_toy("cat", seed) for seed in range(99) if make_toy("cat", seed).attributes.pattern == "dots")
    values = {
        "normal": torch.nn.functional.normalize(torch.tensor(normals).T, dim=0),
        "local": torch.zeros(3, count), "point": torch.ones(3, count), "colour": torch.full((3, count), 0.5),
        "gloss": torch.zeros(count), "patterned": torch.zeros(count, dtype=torch.bool),
        "toy": torch.zeros(count, dtype=torch.long), "patterns": toy.pattern[:, None], "lights": LIGHT.table[:, None],
    }  # fmt: skip
    return Surface(**{**values, **changes})


def test_what_faces_the_lamp_is_brighter() -> None:
    up, side, down = shade(surface([(0, 1, 0.3), (1, 0, 0.3), (0, -1, 0.3)])).mean(0).tolist()
    assert up > side > down > 0


def test_sky_and_ground_colour_what_faces_them() -> None:
    up, down = shade(surface([(0, 1, 0.1), (0, -1, 0.1)])).T
    assert float(up[2]) > float(up[0])  # the sky is blue
    assert float(down[0]) > float(down[2])  # the ground is brown


def test_gloss_adds_a_highlight_where_light_is_reflected_at_us() -> None:
    halfway, away = (0.0, 1.0, 1.0), (1.0, 0.0, 0.3)
    dull, glossy = (shade(surface([halfway, away], gloss=torch.full((2,), gloss))) for gloss in (0.0, 1.0))
    assert float((glossy - dull)[:, 0].mean()) > 0.3
    assert float((glossy - dull)[:, 1].abs().max()) < 1e-3


def test_surfaces_near_the_ground_are_darker() -> None:
    low, high = (shade(surface([(0, 1, 0.3)], point=torch.full((3, 1), y))) for y in (0.0, 0.5))
    assert float(low.mean()) == pytest.approx(0.66 * float(high.mean()), rel=0.15)


def test_dots_have_the_second_colour_of_their_toy() -> None:
    """At a corner of the icosahedron there is a dot, half way to the next there is none; only where it is patterned."""
    corner, between = (0.0, 0.5257311, 0.8506508), (0.0, 0.0, 1.0)
    local = torch.tensor([corner, between, corner]).T
    patterned = torch.tensor([True, True, False])
    plain = shade(surface([(0, 1, 0.3)] * 3))
    dotted = shade(surface([(0, 1, 0.3)] * 3, local=local, patterned=patterned))
    assert not torch.equal(dotted[:, 0], plain[:, 0])
    assert torch.equal(dotted[:, 1:], plain[:, 1:])


def test_a_shadow_is_darkest_below_the_toy_and_falls_away_from_the_light() -> None:
    placed = PlacedToy(make_toy("bear", 1), 0.0, 0.2, 0.5, 0.0)
    shadows = []
    for side in (-0.8, 0.8):
        image = torch.ones(3, 64, 64)
        soft_shadow(image, placed, Light((side, 0.5, 0.5), *((0.5, 0.5, 0.5),) * 3, shadow=0.5), tilt=10.0)
        assert float(image.min()) == pytest.approx(0.5, abs=0.05)
        assert float(image[:, 0].min()) > 0.99  # far above the ground
        shadows.append(1 - image[0])
    rows, columns = (shadows[0] == shadows[0].max()).nonzero()[0].tolist()
    assert abs(rows - 0.7 * 64) < 3
    assert abs(columns - 32) < 3
    middles = [float((s * torch.arange(64)).sum() / s.sum()) for s in shadows]
    assert middles[0] > middles[1]  # light from the left, shadow to the right
    torch.testing.assert_close(shadows[0], shadows[1].flip(1))
