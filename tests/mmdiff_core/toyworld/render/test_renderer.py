"""Images and masks of scenes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmdiff_core.toyworld import CLASS_NAMES, PlacedToy, Scene, make_toy, render
from mmdiff_core.toyworld.render.renderer import to_bytes
from mmdiff_core.toyworld.render.shading import soft_shadow
from mmdiff_core.toyworld.scenes.backgrounds import BACKGROUNDS, paint_background
from tests.helpers.toy_scenes import NO_CAPTION, alone, painted, scenes


def test_a_scene_rendered_alone_equals_itself_in_a_batch() -> None:
    drawn = scenes(9)
    together = render(drawn, 64)
    for i, scene in enumerate(drawn):
        one = render([scene], 64)
        assert torch.equal(one.images[0], together.images[i])
        count = len(scene.toys)
        assert torch.equal(one.masks[0], together.masks[i, :count])
        assert not together.masks[i, count:].any()


def test_masks_are_exactly_the_pixels_that_the_toy_colours() -> None:
    """Repainting a toy changes every pixel of its mask, and nothing that it does not at least touch."""
    for class_name in CLASS_NAMES:
        scene = alone(class_name)
        placed = scene.toys[0]
        repainted = replace(scene, toys=(replace(placed, toy=painted(placed.toy, (1.0, 0.0, 1.0))),))
        before, after = render([scene], 96), render([repainted], 96)
        changed = (before.images - after.images).abs().amax(1)[0] > 1e-4
        mask = before.masks[0, 0]
        assert torch.equal(mask, after.masks[0, 0])
        assert not (mask & ~changed).any()
        edge = torch.nn.functional.max_pool2d(mask[None, None].float(), 3, 1, 1)[0, 0].bool()
        assert not (changed & ~edge).sum() > 0.01 * mask.sum()  # whiskers thinner than half a pixel


def test_outside_masks_an_image_is_its_background_with_shadows() -> None:
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
def test_toys_may_leave_the_image(x: float) -> None:
    drawn = render([alone(x=x)], 32)
    assert bool(drawn.masks.any()) == (abs(x) < 1)


def test_a_toy_turns_and_its_pattern_with_it() -> None:
    front, side = render([alone(yaw=0.0), alone(yaw=50.0)], 64).images
    assert float((front - side).abs().mean()) > 0.01
    mirrored = make_toy("robot", 3)
    assert render([alone("robot", 3, yaw=0.0)], 64).masks.sum() != render([alone("robot", 3, yaw=70.0)], 64).masks.sum()
    assert mirrored.figure.wide > mirrored.figure.deep


def test_no_scene_is_no_image() -> None:
    drawn = render([], 16)
    assert drawn.images.shape == (0, 3, 16, 16)
    assert drawn.masks.shape[0] == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_draws_what_the_cpu_draws() -> None:
    drawn = scenes(4)
    cpu, gpu = render(drawn, 64), render(drawn, 64, "cuda")
    assert float((cpu.images - gpu.images.cpu()).abs().mean()) < 1e-3
    assert float((cpu.masks != gpu.masks.cpu()).float().mean()) < 1e-3


def test_bytes_are_rounded() -> None:
    assert to_bytes(torch.tensor([0.0, 0.499 / 255, 0.501 / 255, 1.0])).tolist() == [0, 0, 1, 255]
