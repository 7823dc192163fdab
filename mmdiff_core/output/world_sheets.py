"""Contact sheets of the toy world: every class, the backgrounds, styles, accessories and random scenes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from mmdiff_core.output.image_grid import GAP, image_grid, text_block
from mmdiff_core.toyworld.bodies.toys import Accessory, make_toy
from mmdiff_core.toyworld.render.renderer import render, to_bytes
from mmdiff_core.toyworld.scenes.captions import random_colour
from mmdiff_core.toyworld.scenes.random_scenes import random_scene, reference_scene
from mmdiff_core.toyworld.scenes.scene import Caption, Scene
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD, Vocabulary

_COLUMNS = 8


class SheetRow(NamedTuple):
    """Scenes side by side. ``texts`` above them: one for the whole row, or one for each scene."""

    texts: tuple[str, ...]
    scenes: tuple[Scene, ...]


def contact_sheet(rows: Sequence[SheetRow], size: int) -> Image.Image:
    """Render rows of scenes, ``size`` pixels each, below their texts."""
    cells: list[Sequence[Image.Image] | Tensor] = []
    for row in rows:
        width = (size + GAP) * len(row.scenes) // len(row.texts) - GAP
        cells += [[text_block([text], width) for text in row.texts], to_bytes(render(row.scenes, size).images)]
    return image_grid(cells)


def world_sheets(rng: random.Random) -> Iterator[tuple[str, tuple[SheetRow, ...]]]:
    """Yield name and rows of every sheet: one per class, then backgrounds, styles, accessories and scenes."""
    for class_name in WHOLE_WORLD.classes:
        yield f"noun_{class_name}", tuple(_class_rows(rng, class_name))
    yield "places", tuple(_background_rows(rng))
    yield "styles", tuple(_style_rows(rng))
    yield "accessories", tuple(_accessory_rows(rng))
    yield "scenes", tuple(_scene_rows(rng))


def _class_rows(rng: random.Random, class_name: str) -> Iterator[SheetRow]:
    """Yield rows with two identities from four sides each."""
    for _ in range(3):
        seeds = [rng.randrange(2**31) for _ in range(2)]
        scenes = [reference_scene(rng, make_toy(class_name, seed)) for seed in seeds for _ in range(_COLUMNS // 2)]
        yield SheetRow((f"{class_name} {seeds[0]} and {seeds[1]}",), tuple(scenes))


def _background_rows(rng: random.Random) -> Iterator[SheetRow]:
    """Yield each background without toys and with one."""
    for background in WHOLE_WORLD.backgrounds:
        here = Vocabulary(WHOLE_WORLD.classes, (background,), ("photo",))
        empty = [Scene((), background, rng.getrandbits(31), 10.0, Caption("", (), "")) for _ in range(_COLUMNS // 2)]
        yield SheetRow((background,), (*empty, *(random_scene(rng, 1, vocabulary=here) for _ in range(_COLUMNS // 2))))


def _style_rows(rng: random.Random) -> Iterator[SheetRow]:
    """Yield the same scenes in every style."""
    scenes = [random_scene(rng, 1 + i % 2) for i in range(_COLUMNS)]
    for style in WHOLE_WORLD.styles:
        yield SheetRow((style,), tuple(replace(scene, style=style) for scene in scenes))


def _accessory_rows(rng: random.Random) -> Iterator[SheetRow]:
    """Yield each accessory on toys of different classes."""
    wearers = [class_name for class_name in WHOLE_WORLD.classes if make_toy(class_name, 0).can_wear]
    photos = Vocabulary(tuple(wearers), WHOLE_WORLD.backgrounds, ("photo",), ())
    for kind in WHOLE_WORLD.accessories:
        scenes = [random_scene(rng, 1, vocabulary=photos) for _ in range(_COLUMNS)]
        yield SheetRow((kind,), tuple(_dressed(scene, Accessory(kind, random_colour(rng))) for scene in scenes))


def _dressed(scene: Scene, accessory: Accessory) -> Scene:
    (placed,) = scene.toys
    return replace(scene, toys=(replace(placed, wearing=accessory),))


def _scene_rows(rng: random.Random) -> Iterator[SheetRow]:
    """Yield random scenes with their captions."""
    for _ in range(5):
        scenes = tuple(random_scene(rng) for _ in range(_COLUMNS))
        yield SheetRow(tuple(scene.caption.text for scene in scenes), scenes)
