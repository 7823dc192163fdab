"""Rays, pictures and masks."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from mmdiff_core.errors import SettingsError
from mmdiff_core.toyworld import (
    BACKGROUND_NAMES,
    CLASS_NAMES,
    Caption,
    PlacedToy,
    Scene,
    make_toy,
    random_scene,
    render,
)
from mmdiff_core.toyworld.bodies.toys import ACCESSORIES, Accessory
from mmdiff_core.toyworld.render.colours import RGB
from mmdiff_core.toyworld.render.shading import soft_shadow
from mmdiff_core.toyworld.render.shapes import BOX_ROUNDING, MISS, SolidShape, Triple, hit, normal
from mmdiff_core.toyworld.scenes.backgrounds import BACKGROUNDS, paint_background
from mmdiff_core.toyworld.scenes.canvas import Canvas

NO_CAPTION = Caption("", (), "")


def alone(class_name: str = "cat", seed: int = 1, background: str = "snow", **placing: float) -> Scene:
    placed = {"x": 0.0, "y": 0.35, "height": 0.7, "yaw": 20.0} | placing
    return Scene((PlacedToy(make_toy(class_name, seed), **placed),), background, 4, 10.0, NO_CAPTION)


def mixed(count: int, seed: int = 0) -> list[Scene]:
    rng = random.Random(seed)
    return [random_scene(rng) for _ in range(count)]


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


@pytest.mark.parametrize(
    ("shape", "extra"),
    [(SolidShape.BALL, 0.0), (SolidShape.BOX, 0.0), (SolidShape.CYLINDER, 0.0), (SolidShape.CONE, 0.0),
     (SolidShape.CONE, 0.5), (SolidShape.CONE, 1.6), (SolidShape.CAPSULE, 1.7)],
)  # fmt: skip
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


def columns(points: torch.Tensor) -> Triple:
    x, y, z = points.unbind(1)
    return x, y, z


def test_a_scene_rendered_alone_equals_itself_in_a_batch() -> None:
    scenes = mixed(9)
    together = render(scenes, 64)
    for i, scene in enumerate(scenes):
        one = render([scene], 64)
        assert torch.equal(one.images[0], together.images[i])
        count = len(scene.toys)
        assert torch.equal(one.masks[0], together.masks[i, :count])
        assert not together.masks[i, count:].any()


def test_masks_hold_exactly_the_pixels_that_the_toy_colours() -> None:
    """Repainting a toy changes every pixel of its mask, and nothing that it does not at least touch."""
    for class_name in CLASS_NAMES:
        scene = alone(class_name)
        placed = scene.toys[0]
        repainted = replace(scene, toys=(replace(placed, toy=_painted(placed.toy, (1.0, 0.0, 1.0))),))
        before, after = render([scene], 96), render([repainted], 96)
        changed = (before.images - after.images).abs().amax(1)[0] > 1e-4
        mask = before.masks[0, 0]
        assert torch.equal(mask, after.masks[0, 0])
        assert not (mask & ~changed).any()
        edge = torch.nn.functional.max_pool2d(mask[None, None].float(), 3, 1, 1)[0, 0].bool()
        assert not (changed & ~edge).sum() > 0.01 * mask.sum()  # whiskers thinner than half a pixel


def test_outside_masks_a_picture_is_its_place_with_shadows() -> None:
    scene = alone()
    stage = paint_background(scene.background, scene.background_seed, 64, 64, "cpu")
    soft_shadow(stage, scene.toys[0], BACKGROUNDS[scene.background].light(scene.background_seed), scene.tilt)
    drawn = render([scene], 64)
    touched = torch.nn.functional.max_pool2d(drawn.masks.float(), 5, 1, 2)[0, 0].bool()
    assert torch.equal(drawn.images[0][:, ~touched], stage[:, ~touched])


def test_masks_do_not_overlap_and_the_nearer_toy_hides_the_farther() -> None:
    back = PlacedToy(make_toy("bear", 1), 0.0, 0.28, 0.6, 0.0)
    front = PlacedToy(make_toy("cat", 2), 0.1, 0.40, 0.6, 0.0)
    scene = Scene((back, front), "beach", 1, 10.0, NO_CAPTION)
    masks = render([scene], 64).masks[0]
    assert not (masks[0] & masks[1]).any()
    shared = masks[1] != render([replace(scene, toys=(front,))], 64).masks[0, 0]  # equally shared pixels of its edge
    assert shared.sum() < 0.05 * masks[1].sum()
    assert masks[0].sum() < 0.8 * render([replace(scene, toys=(back,))], 64).masks.sum()


@pytest.mark.parametrize(("height", "width"), [(48, 96), (96, 48), (33, 57)])
def test_other_shapes_show_the_same_toy_at_the_same_scale(height: int, width: int) -> None:
    scene = alone(height=0.6)
    drawn = render([scene], (height, width))
    assert drawn.images.shape == (1, 3, height, width)
    square = render([scene], min(height, width))
    assert float(drawn.masks.sum()) == pytest.approx(float(square.masks.sum()), rel=0.03)
    rows, cols = drawn.masks[0, 0].nonzero().unbind(1)
    assert abs(float(cols.float().mean()) - (width - 1) / 2) < 0.1 * min(height, width)
    assert rows.max() - rows.min() > 0.5 * min(height, width)


@pytest.mark.parametrize("x", [-0.5, 0.5, 3.0])
def test_toys_may_leave_the_picture(x: float) -> None:
    drawn = render([alone(x=x)], 32)
    assert bool(drawn.masks.any()) == (abs(x) < 1)


def test_a_toy_turns_and_its_pattern_with_it() -> None:
    front, side = render([alone(yaw=0.0), alone(yaw=50.0)], 64).images
    assert float((front - side).abs().mean()) > 0.01
    mirrored = make_toy("robot", 3)
    assert render([alone("robot", 3, yaw=0.0)], 64).masks.sum() != render([alone("robot", 3, yaw=70.0)], 64).masks.sum()
    assert mirrored.figure.wide > mirrored.figure.deep


def test_wearing_a_hat_adds_to_the_top() -> None:
    bare = alone("bear", height=0.5)
    hatted = replace(bare, toys=(replace(bare.toys[0], wearing=Accessory("hat", "red")),))
    a, b = render([bare, hatted], 64).masks[:, 0]
    assert int(b.any(1).int().argmax()) < int(a.any(1).int().argmax())
    assert not (a & ~b).any()


@pytest.mark.parametrize("kind", ACCESSORIES)
def test_an_accessory_shows_on_every_toy_that_can_wear_it(kind: str) -> None:
    for class_name in CLASS_NAMES:
        bare = alone(class_name, height=0.5, yaw=0.0)
        if not bare.toys[0].toy.can_wear:
            continue
        dressed = replace(bare, toys=(replace(bare.toys[0], wearing=Accessory(kind, "red")),))
        before, after = render([bare, dressed], 64).images
        changed = (before - after).abs().amax(0) > 0.05
        assert int(changed.sum()) > 8, class_name


def test_a_toy_without_a_head_wears_nothing() -> None:
    with pytest.raises(SettingsError, match="cannot wear a bow"):
        make_toy("teapot", 1).solids(Accessory("bow", "red"))


def test_pictures_are_in_range_and_places_differ() -> None:
    images = render([Scene((), background, 1, 10.0, NO_CAPTION) for background in BACKGROUND_NAMES], 32).images
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    for i in range(len(BACKGROUND_NAMES)):
        for j in range(i):
            assert float((images[i] - images[j]).abs().mean()) > 0.05, (BACKGROUND_NAMES[i], BACKGROUND_NAMES[j])


def test_a_place_has_its_look_from_its_seed() -> None:
    for background in BACKGROUND_NAMES:
        assert torch.equal(
            paint_background(background, 1, 32, 32, "cpu"), paint_background(background, 1, 32, 32, "cpu")
        )
        assert not torch.equal(
            paint_background(background, 1, 32, 32, "cpu"), paint_background(background, 2, 32, 32, "cpu")
        )


def test_shapes_outside_the_canvas_leave_it_alone() -> None:
    canvas = Canvas(16, 16, "cpu")
    before = canvas.image.clone()
    canvas.disc((1.0, 1.0, 1.0), (2.0, 0.0), 0.1)
    canvas.box((1.0, 1.0, 1.0), (0.0, -3.0), (0.2, 0.2))
    canvas.triangle((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (-2.0, 0.0), 0.1, 0.1)
    assert torch.equal(canvas.image, before)
    canvas.disc((1.0, 1.0, 1.0), (0.5, 0.0), 0.1)
    assert not torch.equal(canvas.image, before)


def test_no_scene_is_no_picture() -> None:
    drawn = render([], 16)
    assert drawn.images.shape == (0, 3, 16, 16)
    assert drawn.masks.shape[0] == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_draws_what_the_cpu_draws() -> None:
    scenes = mixed(4)
    cpu, gpu = render(scenes, 64), render(scenes, 64, "cuda")
    assert float((cpu.images - gpu.images.cpu()).abs().mean()) < 1e-3
    assert float((cpu.masks != gpu.masks.cpu()).float().mean()) < 1e-3


def _painted(toy, colour: RGB):  # type: ignore[no-untyped-def]
    """The same body all in one colour."""
    solids = tuple(part._replace(colour=colour, patterned=False) for part in toy.figure.solids)
    return replace(toy, figure=toy.figure._replace(solids=solids))
