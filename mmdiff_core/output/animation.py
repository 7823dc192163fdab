"""A picture coming to be: its previews with the subjects' maps over them, as an animated file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

from PIL import Image

from mmdiff_core.maps.heatmap import colour_of, overlay
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import MapKind

Kind = Literal["webp", "gif"]
SIDE = 384  # pixels of the longer side at least, so that small models' frames can be seen
FRAME, LAST_FRAME = 160, 1600  # milliseconds


def growth_frames(
    picture: GeneratedImage,
    previews: Sequence[Image.Image],
    kind: MapKind = "image",
    colours: Sequence[str] | None = None,
    opacity: float = 0.7,
) -> list[Image.Image]:
    """One frame per step, the preview beside the same with every subject's map; then the finished picture's.

    Args:
        picture: a finished picture.
        previews: one per step; a step of which no map was recorded shows none.
        stream: the kind of map.
        colours: one per subject, ``#RRGGBB``; by default those of the palette.
        opacity: of a map's colour at its peak, 0 to 1.
    """
    size = _size(picture.image)
    frames = [
        _pair(preview.resize(size, Image.Resampling.BICUBIC), picture, kind, step, colours, opacity)
        for step, preview in enumerate(previews)
    ]
    finished = picture.image.resize(size, Image.Resampling.LANCZOS)
    return [*frames, _pair(finished, picture, kind, None, colours, opacity)]


def animated(frames: Sequence[Image.Image], kind: Kind = "webp") -> bytes:
    """The frames as one file that repeats for ever and rests on the last."""
    if kind == "gif":  # Pillow's own choice of colours takes ten times as long
        frames = [frame.quantize(128, Image.Quantize.FASTOCTREE) for frame in frames]
    times = [FRAME] * (len(frames) - 1) + [LAST_FRAME]
    options = {"save_all": True, "append_images": list(frames[1:]), "duration": times, "loop": 0, "quality": 85}
    buffer = io.BytesIO()
    frames[0].save(buffer, kind.upper(), **options)
    return buffer.getvalue()


def _size(image: Image.Image) -> tuple[int, int]:
    scale = max(1, -(-SIDE // max(image.size)))
    return image.width * scale, image.height * scale


def _pair(
    ground: Image.Image,
    picture: GeneratedImage,
    kind: MapKind,
    step: int | None,
    colours: Sequence[str] | None,
    opacity: float,
) -> Image.Image:
    ground = ground.convert("RGB")
    covered = ground
    maps = picture.maps
    if maps is not None and (step in maps.steps or (step is None and maps.records)):
        for index in range(len(picture.words)):
            colour = colours[index] if colours else colour_of(index)
            covered = overlay(covered, maps.at(index, kind, step), colour, opacity)
    pair = Image.new("RGB", (2 * ground.width, ground.height))
    pair.paste(ground, (0, 0))
    pair.paste(covered, (ground.width, 0))
    return pair
