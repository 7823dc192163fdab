"""An image as it forms: its previews with the subjects' maps over them, as an animated file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

from PIL import Image

from mmdiff_core.maps.heatmap import colour_of, overlay
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import MapKind

AnimationFormat = Literal["webp", "gif"]
SIDE = 384  # pixels of the longer side at least, so that the frames of small models can be seen
FRAME, LAST_FRAME = 160, 1600  # milliseconds


def step_frames(
    generated: GeneratedImage,
    previews: Sequence[Image.Image],
    kind: MapKind = "image",
    colours: Sequence[str] | None = None,
    opacity: float = 0.7,
) -> list[Image.Image]:
    """Return a frame per step, the preview next to the same with every subject's map, and one of the finished image.

    Args:
        generated: a finished image.
        previews: one per step; a step without recorded maps shows none.
        kind: the kind of map.
        colours: one per subject, ``#RRGGBB``; by default those of the palette.
        opacity: of a map's colour at its peak, 0 to 1.
    """
    scale = max(1, -(-SIDE // max(generated.image.size)))
    size = (generated.image.width * scale, generated.image.height * scale)
    frames = [
        _frame(preview.resize(size, Image.Resampling.BICUBIC), generated, kind, step, colours, opacity)
        for step, preview in enumerate(previews)
    ]
    finished = generated.image.resize(size, Image.Resampling.LANCZOS)
    return [*frames, _frame(finished, generated, kind, None, colours, opacity)]


def encode_animation(frames: Sequence[Image.Image], kind: AnimationFormat = "webp") -> bytes:
    """Return the frames as one file that loops and pauses at the last."""
    if kind == "gif":  # Pillow's own choice of colours takes ten times as long
        frames = [frame.quantize(128, Image.Quantize.FASTOCTREE) for frame in frames]
    times = [FRAME] * (len(frames) - 1) + [LAST_FRAME]
    options = {"save_all": True, "append_images": list(frames[1:]), "duration": times, "loop": 0, "quality": 85}
    buffer = io.BytesIO()
    frames[0].save(buffer, kind.upper(), **options)
    return buffer.getvalue()


def _frame(
    shown: Image.Image,
    generated: GeneratedImage,
    kind: MapKind,
    step: int | None,
    colours: Sequence[str] | None,
    opacity: float,
) -> Image.Image:
    """Return an image next to the same with the maps of a step, or of all steps for None."""
    shown = shown.convert("RGB")
    covered = shown
    maps = generated.maps
    if maps is not None and (step in maps.steps or (step is None and maps.records)):
        for index in range(len(generated.words)):
            colour = colours[index] if colours else colour_of(index)
            covered = overlay(covered, maps.at(index, kind, step), colour, opacity)
    frame = Image.new("RGB", (2 * shown.width, shown.height))
    frame.paste(shown, (0, 0))
    frame.paste(covered, (shown.width, 0))
    return frame
