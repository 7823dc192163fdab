"""Renders scenes to images and exact masks.

Letters: C scenes of a chunk, P solids of all its toys, R rays, W visible subpixels. A chunk's rays are one flat list
sorted by shape, so that the number of tensor operations does not grow with the number of toys, and no ray is cast
outside its solid's bounding box.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmdiff_core.toyworld.render.shading import Surface, shade, soft_shadow
from mmdiff_core.toyworld.render.shapes import MISS, SolidShape, Triple, hit, normal
from mmdiff_core.toyworld.render.sprites import Device, Rays, Sprites, cast, sprites_of
from mmdiff_core.toyworld.render.styles import restyle
from mmdiff_core.toyworld.scenes.backgrounds import BACKGROUNDS, paint_background
from mmdiff_core.toyworld.scenes.scene import Scene

SUPERSAMPLING = 2
_CHUNK_PIXELS = 4 * 128 * 128  # pixels that are rendered at a time, which keeps the work in the cache
_DEPTH_BASE = 64.0  # keeps depths positive, where the bits of a float32 sort like its value


class Rendered(NamedTuple):
    """Images (B, 3, H, W) float32 in [0, 1] and masks (B, S, H, W) bool of what is visible of each toy."""

    images: Tensor
    masks: Tensor


def render(scenes: Sequence[Scene], size: int | tuple[int, int], device: Device = "cpu") -> Rendered:
    """Render scenes at ``size`` (side, or (height, width)) pixels; S is the greatest number of toys in a scene.

    A mask contains the pixels of which the toy covers at least half, whatever the style makes of them. A pixel that two
    toys share equally belongs to the first. The image of a scene does not depend on the other scenes.
    """
    height, width = (size, size) if isinstance(size, int) else size
    slots = max((len(scene.toys) for scene in scenes), default=0)
    images = torch.empty(len(scenes), 3, height, width, device=device)
    masks = torch.zeros(len(scenes), slots, height, width, dtype=torch.bool, device=device)
    step = max(1, _CHUNK_PIXELS // (height * width))
    for start in range(0, len(scenes), step):
        chunk = slice(start, start + step)
        _render_chunk(scenes[chunk], images[chunk], masks[chunk])
        styles, seeds = zip(*((scene.style, scene.background_seed) for scene in scenes[chunk]), strict=True)
        restyle(images[chunk], styles, seeds)
    return Rendered(images, masks)


def to_bytes(images: Tensor) -> Tensor:
    """Return images in [0, 1] as uint8."""
    return images.mul(255).round_().to(torch.uint8)


def _render_chunk(scenes: Sequence[Scene], images: Tensor, masks: Tensor) -> None:
    """Fill ``images`` (C, 3, H, W) and ``masks`` (C, S, H, W)."""
    *_, height, width = images.shape
    for scene, image in zip(scenes, images, strict=True):
        image.copy_(_paint_stage(scene, height, width, images.device))
    sprites = sprites_of(scenes, height * SUPERSAMPLING, width * SUPERSAMPLING, images.device)
    if sprites is None:
        return
    seen = _visible(sprites, len(scenes), height * SUPERSAMPLING, width * SUPERSAMPLING)
    layers = _gather_pixels(seen, shade(seen.surface), masks)
    ink, coverage = layers[:, :3], layers[:, 3:]
    images.mul_(1 - coverage.sum(1, keepdim=True)).add_(ink).clamp_(0, 1)
    half = coverage >= 0.5
    masks.copy_(half & (half.cumsum(1) == 1))


def _paint_stage(scene: Scene, height: int, width: int, device: Device) -> Tensor:
    """Paint the background with the toys' shadows on its ground, (3, H, W)."""
    image = paint_background(scene.background, scene.background_seed, height, width, device)
    light = BACKGROUNDS[scene.background].light(scene.background_seed)
    for placed in scene.toys:
        soft_shadow(image, placed, light, scene.tilt)
    return image


class _Visible(NamedTuple):
    """The subpixels that show a toy."""

    scene: Tensor  # (W,) long
    slot: Tensor  # (W,) long
    row: Tensor  # (W,) long, subpixels
    column: Tensor  # (W,) long
    surface: Surface


def _visible(sprites: Sprites, scenes: int, height: int, width: int) -> _Visible:
    """Cast all rays and keep the nearest hit of each subpixel; the greatest z is the nearest."""
    rays = cast(sprites)
    depth = _depths(sprites, rays)
    hits = (depth > MISS).nonzero().squeeze(1)
    depth, solid, column, row = (t.index_select(0, hits) for t in (depth, rays.solid, rays.column, rays.row))
    toy = sprites.toy_of[solid]
    pixel = (sprites.scene[toy] * height + row.long()) * width + column.long()
    nearness = depth + sprites.layer[toy] + _DEPTH_BASE
    key = nearness.view(torch.int32).long() << 32 | torch.arange(len(hits), device=hits.device)
    nearest = key.new_zeros(scenes * height * width).scatter_reduce_(0, pixel, key, "amax")
    won = nearest[nearest.nonzero().squeeze(1)] & 0xFFFFFFFF
    won = torch.zeros_like(hits, dtype=torch.bool).index_fill_(0, won, True).nonzero().squeeze(1)  # sorted by solid
    depth, solid, column, row, toy = (t.index_select(0, won) for t in (depth, solid, column, row, toy))
    surface = _surface(sprites, solid, toy, column, row, depth)
    return _Visible(sprites.scene[toy], sprites.slot[toy], row.long(), column.long(), surface)


def _depths(sprites: Sprites, rays: Rays) -> Tensor:
    """Return the depth (R,) at which rays meet their solid, MISS where they do not."""
    pieces = []
    start = 0
    for shape, count in zip(SolidShape, rays.counts, strict=True):
        span = slice(start, start + count)
        solid, column, row = rays.solid[span], rays.column[span], rays.row[span]
        table = sprites.ray.index_select(1, solid)
        pieces.append(hit(shape, _local(table, column, row), _triple(table[9:]), sprites.finish[0][solid]))
        start += count
    return torch.cat(pieces)


def _surface(sprites: Sprites, solid: Tensor, toy: Tensor, column: Tensor, row: Tensor, depth: Tensor) -> Surface:
    """Collect everything about the visible subpixels; ``solid`` is sorted."""
    table = sprites.ray.index_select(1, solid)
    local = torch.stack(
        [torch.addcmul(o, depth, s) for o, s in zip(_local(table, column, row), table[9:], strict=True)]
    )
    finish = sprites.finish.index_select(1, solid)
    ends = torch.tensor(sprites.solid_counts, device=solid.device).cumsum(0)
    counts = torch.searchsorted(solid, ends).diff(prepend=solid.new_zeros(1)).tolist()
    pieces = zip(SolidShape, local.split(counts, 1), finish[0].split(counts), strict=True)
    bent = torch.cat([torch.stack(normal(shape, _triple(point), extra)) for shape, point, extra in pieces], 1)
    foot_column, foot_row, scale = sprites.screen.index_select(1, toy)
    view = torch.stack(((column + 0.5 - foot_column) / scale, (foot_row - row - 0.5) / scale, depth))
    return Surface(
        normal=_to_view(table, bent, scale),
        local=local,
        point=_apply(sprites.to_toy.index_select(1, toy), view),
        colour=finish[1:4],
        gloss=finish[4],
        patterned=finish[5] > 0,
        toy=toy,
        patterns=sprites.pattern,
        lights=sprites.light,
    )


def _gather_pixels(seen: _Visible, colour: Tensor, masks: Tensor) -> Tensor:
    """Average colours (3, W) to pixels: (C, 3 + S, H, W), premultiplied colour and each toy's coverage."""
    scenes, slots, height, width = masks.shape
    pixel = (seen.row // SUPERSAMPLING) * width + seen.column // SUPERSAMPLING
    plane = height * width
    layers = colour.new_zeros(scenes * (3 + slots) * plane)
    first = seen.scene * ((3 + slots) * plane) + pixel
    weight = 1 / SUPERSAMPLING**2
    for channel in range(3):
        layers.index_add_(0, first + channel * plane, colour[channel].clamp(0, 1), alpha=weight)
    layers.index_add_(0, first + (3 + seen.slot) * plane, torch.ones_like(colour[0]), alpha=weight)
    return layers.unflatten(0, (scenes, 3 + slots, height, width))


def _local(table: Tensor, column: Tensor, row: Tensor) -> Triple:
    """Return the local points of rays at z = 0, from the rows of ``Sprites.ray``."""
    x, y, z = (torch.addcmul(torch.addcmul(table[i], table[3 + i], column), table[6 + i], row) for i in range(3))
    return x, y, z


def _to_view(table: Tensor, bent: Tensor, scale: Tensor) -> Tensor:
    """Turn local normals (3, W) to view space, unit length; a ray table contains the transpose of the needed map."""
    across, down, step = table[3:].unflatten(0, (3, 3))
    seen = torch.stack(((across * bent).sum(0) * scale, (down * bent).sum(0) * -scale, (step * bent).sum(0)))
    return seen * torch.rsqrt(seen.square().sum(0))


def _triple(rows: Tensor) -> Triple:
    return rows[0], rows[1], rows[2]


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """Multiply matrices (9, W), given row by row, with vectors (3, W)."""
    return torch.stack([(matrix[3 * i : 3 * i + 3] * vector).sum(0) for i in range(3)])
