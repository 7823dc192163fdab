"""Tables of toys and solids, and the rays at them."""

from __future__ import annotations

from dataclasses import replace

import torch

from mmdiff_core.toyworld.bodies.toys import Accessory
from mmdiff_core.toyworld.render.shapes import SolidShape
from mmdiff_core.toyworld.render.sprites import cast, sprites_of
from tests.helpers.toy_scenes import alone, empty, scenes


def test_there_is_nothing_without_toys() -> None:
    assert sprites_of([], 32, 32, "cpu") is None
    assert sprites_of([empty("snow")], 32, 32, "cpu") is None


def test_solids_are_sorted_by_shape_and_know_their_toy() -> None:
    drawn = scenes(5, seed=2)
    sprites = sprites_of(drawn, 64, 64, "cpu")
    assert sprites is not None
    toys = [placed for scene in drawn for placed in scene.toys]
    tables = [placed.toy.solids(placed.wearing) for placed in toys]
    assert len(sprites.solid_counts) == len(SolidShape)
    assert sprites.solid_counts == [sum(int((t[:, 0] == shape).sum()) for t in tables) for shape in SolidShape]
    assert torch.bincount(sprites.toy_of).tolist() == [len(table) for table in tables]
    assert sprites.scene.tolist() == [i for i, scene in enumerate(drawn) for _ in scene.toys]
    assert sprites.slot.tolist() == [s for scene in drawn for s in range(len(scene.toys))]


def test_what_is_worn_is_cast_too() -> None:
    bare = alone("bear")
    hatted = replace(bare, toys=(replace(bare.toys[0], wearing=Accessory("hat", "red")),))
    counts = [sum(sprites.solid_counts) for s in (bare, hatted) if (sprites := sprites_of([s], 64, 64, "cpu"))]
    assert counts[1] == counts[0] + 3


def test_lower_toys_are_nearer() -> None:
    (scene,) = [s for s in scenes(60, subjects=2) if " in front of " in s.caption.text][:1]
    sprites = sprites_of([scene], 64, 64, "cpu")
    assert sprites is not None
    assert float(sprites.layer[0]) > float(sprites.layer[1])


def test_rays_fill_the_boxes_of_their_solids() -> None:
    sprites = sprites_of([alone(x=0.45)], 48, 48, "cpu")  # partly outside
    assert sprites is not None
    rays = cast(sprites)
    assert sum(rays.counts) == len(rays.solid) == int((sprites.box[2] * sprites.box[3]).sum())
    for number in range(len(sprites.toy_of)):
        left, top, width, height = sprites.box[:, number].tolist()
        mine = rays.solid == number
        cells = set(zip(rays.column[mine].tolist(), rays.row[mine].tolist(), strict=True))
        assert cells == {(float(x), float(y)) for x in range(left, left + width) for y in range(top, top + height)}
    assert 0 <= float(rays.column.min()) <= float(rays.column.max()) < 48


def test_toys_far_outside_have_no_rays() -> None:
    sprites = sprites_of([alone(x=3.0)], 32, 32, "cpu")
    assert sprites is not None
    assert len(cast(sprites).solid) == 0
