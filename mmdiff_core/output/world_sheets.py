"""Contact sheets: labelled rows of rendered pictures, to see with one's own eyes what the world looks like."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont

from mmdiff_core.toyworld.bodies.toys import Accessory, make_toy
from mmdiff_core.toyworld.render.renderer import render, to_bytes
from mmdiff_core.toyworld.scenes.captions import random_colour
from mmdiff_core.toyworld.scenes.random_scenes import random_scene, reference_scene
from mmdiff_core.toyworld.scenes.scene import Caption, Scene
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD, Vocabulary

_COLUMNS = 8
_GAP = 2
_LETTER = 11  # pixels high, and about 0.6 of that wide


class SheetRow(NamedTuple):
    """Pictures side by side; ``texts`` above them: one for the whole row, or one for each picture."""

    texts: tuple[str, ...]
    scenes: tuple[Scene, ...]


def contact_sheet(rows: Sequence[SheetRow], size: int) -> Image.Image:
    """Rows drawn at ``size`` pixels a picture, one below the other on white."""
    strips = [_strip(row, size) for row in rows]
    sheet = Image.new("RGB", (max(s.width for s in strips), sum(s.height for s in strips)), "white")
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def world_sheets(rng: random.Random) -> Iterator[tuple[str, tuple[SheetRow, ...]]]:
    """Name and rows of every sheet: one per noun, then places, styles, accessories and scenes."""
    for class_name in WHOLE_WORLD.classes:
        yield f"noun_{class_name}", tuple(_noun_rows(rng, class_name))
    yield "places", tuple(_place_rows(rng))
    yield "styles", tuple(_style_rows(rng))
    yield "accessories", tuple(_accessory_rows(rng))
    yield "scenes", tuple(_scene_rows(rng))


def _noun_rows(rng: random.Random, class_name: str) -> Iterator[SheetRow]:
    """Two identities a row, from four sides each."""
    for _ in range(3):
        seeds = [rng.randrange(2**31) for _ in range(2)]
        scenes = [reference_scene(rng, make_toy(class_name, seed)) for seed in seeds for _ in range(_COLUMNS // 2)]
        yield SheetRow((f"{class_name} {seeds[0]} and {seeds[1]}",), tuple(scenes))


def _place_rows(rng: random.Random) -> Iterator[SheetRow]:
    """Each place without toys, and with one."""
    for background in WHOLE_WORLD.backgrounds:
        here = Vocabulary(WHOLE_WORLD.classes, (background,), ("photo",))
        empty = [Scene((), background, rng.getrandbits(31), 10.0, Caption("", (), "")) for _ in range(_COLUMNS // 2)]
        yield SheetRow((background,), (*empty, *(random_scene(rng, 1, vocabulary=here) for _ in range(_COLUMNS // 2))))


def _style_rows(rng: random.Random) -> Iterator[SheetRow]:
    """The same scenes in every style."""
    scenes = [random_scene(rng, 1 + i % 2) for i in range(_COLUMNS)]
    for style in WHOLE_WORLD.styles:
        yield SheetRow((style,), tuple(replace(scene, style=style) for scene in scenes))


def _accessory_rows(rng: random.Random) -> Iterator[SheetRow]:
    """Each accessory on toys of different kinds."""
    wearers = [class_name for class_name in WHOLE_WORLD.classes if make_toy(class_name, 0).can_wear]
    photos = Vocabulary(tuple(wearers), WHOLE_WORLD.backgrounds, ("photo",), ())
    for kind in WHOLE_WORLD.accessories:
        scenes = [random_scene(rng, 1, vocabulary=photos) for _ in range(_COLUMNS)]
        yield SheetRow((kind,), tuple(_dressed(scene, Accessory(kind, random_colour(rng))) for scene in scenes))


def _dressed(scene: Scene, accessory: Accessory) -> Scene:
    (placed,) = scene.toys
    return replace(scene, toys=(replace(placed, wearing=accessory),))


def _scene_rows(rng: random.Random) -> Iterator[SheetRow]:
    """Scenes with their captions."""
    for _ in range(5):
        scenes = tuple(random_scene(rng) for _ in range(_COLUMNS))
        yield SheetRow(tuple(scene.caption.text for scene in scenes), scenes)


def _strip(row: SheetRow, size: int) -> Image.Image:
    """One row under its texts."""
    pitch = size + _GAP
    room = pitch * len(row.scenes) // len(row.texts)
    texts = [textwrap.fill(text, max(8, int(room / (0.6 * _LETTER)))) for text in row.texts]
    band = 4 + (_LETTER + 4) * max(text.count("\n") + 1 for text in texts)
    strip = Image.new("RGB", (pitch * len(row.scenes), band + pitch), "white")
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(_LETTER)
    for i, text in enumerate(texts):
        draw.multiline_text((i * room + 1, 1), text, fill="black", font=font, spacing=2)
    for i, picture in enumerate(to_bytes(render(row.scenes, size).images)):
        strip.paste(_picture(picture), (i * pitch, band))
    return strip


def _picture(pixels: torch.Tensor) -> Image.Image:
    """uint8 (3, H, W) -> a picture."""
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())
