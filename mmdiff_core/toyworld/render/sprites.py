"""The toys of several scenes as flat tables of numbers, and the rays that are cast at their solids.

Letters: T toys, P solids of all toys, R rays. Tables are column first, (columns, T) or (columns, P), so that a gather
gives contiguous columns. View space: x right, y up, z towards the camera, in toy units around the toy's foot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmdiff_core.toyworld.render.shapes import SolidShape
from mmdiff_core.toyworld.scenes.backgrounds import BACKGROUNDS
from mmdiff_core.toyworld.scenes.scene import PlacedToy, Scene

Device = str | torch.device

_LAYER = 4.0  # depth between toys, more than any toy is deep


class Sprites(NamedTuple):
    """All toys of a chunk of scenes. Solids are sorted by shape; ``solid_counts`` has one entry per shape."""

    solid_counts: list[int]
    toy_of: Tensor  # (P,) long
    box: Tensor  # (4, P) long: left, top, width, height in subpixels, within the image
    ray: Tensor  # (12, P) local point of subpixel (0, 0) at z = 0, and its change per column, row and z
    finish: Tensor  # (6, P) extra, colour (3), gloss, patterned
    scene: Tensor  # (T,) long
    slot: Tensor  # (T,) long, which toy of its scene
    screen: Tensor  # (3, T) column and row of the foot, subpixels per unit
    layer: Tensor  # (T,) depth of the whole toy; lower in the image is nearer
    to_toy: Tensor  # (9, T) view space -> toy space, row by row
    pattern: Tensor  # (17, T) see Toy.pattern
    light: Tensor  # (15, T) see Light.table


def sprites_of(scenes: Sequence[Scene], height: int, width: int, device: Device) -> Sprites | None:
    """Build the tables for images of height x width subpixels; None if no scene has a toy."""
    placed = [(i, slot, toy) for i, scene in enumerate(scenes) for slot, toy in enumerate(scene.toys)]
    if not placed:
        return None
    tables = [toy.toy.solids(toy.wearing) for _, _, toy in placed]
    solid = torch.cat(tables)
    toy_of = torch.repeat_interleave(torch.tensor([len(t) for t in tables]))
    order = torch.argsort(solid[:, 0], stable=True)
    solid, toy_of = solid[order], toy_of[order]
    view = torch.tensor([_view(toy.yaw, scenes[i].tilt) for i, _, toy in placed]).view(-1, 3, 3)
    screen = torch.tensor([_screen(toy, height, width) for _, _, toy in placed])
    lights = torch.stack([_light_table(scenes[i]) for i, _, _ in placed])
    ray, reach, middle = _geometry(solid, view[toy_of], screen[toy_of])
    tables_of_toys = {
        "scene": torch.tensor([i for i, _, _ in placed]),
        "slot": torch.tensor([slot for _, slot, _ in placed]),
        "screen": screen.T,
        "layer": torch.tensor([_LAYER * sorted(t.y for t in scenes[i].toys).index(toy.y) for i, _, toy in placed]),
        "to_toy": view.transpose(1, 2).flatten(1).T,
        "pattern": torch.stack([toy.toy.pattern for _, _, toy in placed]).T,
        "light": lights.T,
    }
    tables_of_solids = {
        "toy_of": toy_of,
        "box": _boxes(middle, reach, height, width),
        "ray": ray.flatten(1).T,
        "finish": solid[:, 16:].T,
    }
    counts = torch.bincount(solid[:, 0].long(), minlength=len(SolidShape)).tolist()
    moved = {k: v.contiguous().to(device) for k, v in (tables_of_solids | tables_of_toys).items()}
    return Sprites(solid_counts=counts, **moved)


class Rays(NamedTuple):
    """One ray per solid and subpixel of its box, in the order of the solids."""

    solid: Tensor  # (R,) long
    column: Tensor  # (R,) float32
    row: Tensor  # (R,) float32
    counts: list[int]  # rays per shape


def cast(sprites: Sprites) -> Rays:
    """Cast all rays of a chunk."""
    left, top, wide, high = sprites.box
    area = wide * high
    solid = torch.repeat_interleave(area)
    first = torch.cumsum(area, 0) - area
    index = torch.arange(len(solid), device=solid.device) - first[solid]
    across = wide.float()[solid]
    index = index.float()
    row = ((index + 0.5) / across).floor_()
    column = torch.addcmul(index, row, across, value=-1)
    per_shape = [int(piece.sum()) for piece in area.split(sprites.solid_counts)]
    return Rays(solid, column + left.float()[solid], row + top.float()[solid], per_shape)


def _view(yaw: float, tilt: float) -> tuple[float, ...]:
    """Return the rows of the map from toy to view space: turned by ``yaw``, then seen from ``tilt`` above; degrees."""
    cy, sy = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    ct, st = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    return (cy, 0.0, sy, st * sy, ct, -st * cy, -ct * sy, st, ct * cy)


def _screen(placed: PlacedToy, height: int, width: int) -> tuple[float, float, float]:
    unit = min(height, width)
    return (0.5 + placed.x) * width, height / 2 + placed.y * unit, placed.height * unit


def _light_table(scene: Scene) -> Tensor:
    return BACKGROUNDS[scene.background].light(scene.background_seed).table


def _geometry(solid: Tensor, view: Tensor, screen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return rays (P, 4, 3) in local space; half extents and middles (P, 2) on screen."""
    centre, size, axes = solid[:, 1:4], solid[:, 4:7], solid[:, 7:16].unflatten(1, (3, 3))
    seen_axes = axes @ view.transpose(1, 2)  # (P, axis, view xyz)
    to_local = seen_axes / size[:, :, None]
    scale = screen[:, 2:]
    middle = (view @ centre[:, :, None]).squeeze(2)
    across, down = to_local[:, :, 0] / scale, -to_local[:, :, 1] / scale
    foot_column, foot_row = screen[:, 0:1], screen[:, 1:2]
    start = -(to_local @ middle[:, :, None]).squeeze(2) + across * (0.5 - foot_column) + down * (0.5 - foot_row)
    ray = torch.stack((start, across, down, to_local[:, :, 2]), dim=1)
    column, row = foot_column + scale * middle[:, 0:1], foot_row - scale * middle[:, 1:2]
    reach = _reach(solid, seen_axes[:, :, :2] * size[:, :, None]) * scale
    return ray, reach, torch.cat((column, row), 1)


def _reach(solid: Tensor, along: Tensor) -> Tensor:
    """Return half extents (P, 2) of solids whose scaled axes are ``along`` (P, 3, 2) on screen; see ``Solid.reach``."""
    shape, extra = solid[:, :1], solid[:, 16:17]
    x, y, z = along.unbind(1)
    ring = torch.hypot(x, z)
    ball = torch.hypot(ring, y)
    box = along.abs().sum(1)
    tube = ring * torch.where(shape == SolidShape.CONE, extra.clamp_min(1.0), 1.0) + y.abs()
    capsule = ball + y.abs() * extra
    rounded = torch.where(shape == SolidShape.CAPSULE, capsule, torch.where(shape == SolidShape.BALL, ball, tube))
    return torch.where(shape == SolidShape.BOX, box, rounded)


def _boxes(middle: Tensor, reach: Tensor, height: int, width: int) -> Tensor:
    """Return (4, P): left, top, width, height of the subpixels whose centres a solid can cover, within the image."""
    limit = torch.tensor([width, height])
    low = (middle - reach - 0.5).ceil().long().clamp_min(0).minimum(limit)
    high = ((middle + reach - 0.5).floor().long() + 1).clamp_min(0).minimum(limit)
    return torch.cat((low, (high - low).clamp_min(0)), 1).T
