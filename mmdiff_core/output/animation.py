"""An image as it forms: its previews with the subjects' maps over them, as an animated file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

from PIL import Image

from mmdiff_core.maps.heatmap import SUBJECT_COLOURS, HeatmapStyle, colour_of, overlay_maps
from mmdiff_core.output.image_grid import enlarged_to
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
    style: HeatmapStyle = SUBJECT_COLOURS,
) -> list[Image.Image]:
    """Return a frame per step, the preview next to the same with every subject's map, and one with their averages.

    The last two frames show the finished image: a preview is a rough reading of the same latents.

    Args:
        generated: a finished image.
        previews: one per step; a step without recorded maps shows none.
        kind: the kind of map.
        colours: one per subject, ``#RRGGBB``; by default those of the palette.
        style: how the maps are drawn.
    """
    finished = enlarged_to(generated.image, SIDE)
    shown = [preview.resize(finished.size, Image.Resampling.BICUBIC) for preview in previews[:-1]]
    shown += [finished] * bool(previews)
    frames = [_frame(image, generated, kind, step, colours, style) for step, image in enumerate(shown)]
    return [*frames, _frame(finished, generated, kind, None, colours, style)]


def encode_animation(frames: Sequence[Image.Image], kind: AnimationFormat = "webp") -> bytes:
    """Return the frames as one file that loops and pauses at the last."""
    if kind == "gif":
        frames = [_dithered(frame) for frame in frames]
    times = [FRAME] * (len(frames) - 1) + [LAST_FRAME]
    options = {"save_all": True, "append_images": list(frames[1:]), "duration": times, "loop": 0, "quality": 85}
    buffer = io.BytesIO()
    frames[0].save(buffer, kind.upper(), **options)
    return buffer.getvalue()


def _dithered(frame: Image.Image) -> Image.Image:
    """Return a frame in 256 colours of its own, mixed where it has others: skies would show bands.

    The colours are those of a small copy, which takes a tenth of the time.
    """
    small = frame.copy()
    small.thumbnail((SIDE // 2, SIDE // 2), Image.Resampling.BOX)
    palette = small.quantize(256, Image.Quantize.MEDIANCUT)
    return frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _frame(
    shown: Image.Image,
    generated: GeneratedImage,
    kind: MapKind,
    step: int | None,
    colours: Sequence[str] | None,
    style: HeatmapStyle,
) -> Image.Image:
    """Return an image next to the same with the maps of a step, or of all steps for None."""
    shown = shown.convert("RGB")
    covered = shown
    maps = generated.maps
    if maps is not None and any(kind in record.kinds and step in (None, record.step) for record in maps.records):
        subjects = range(len(generated.words))
        inks = list(colours) if colours else [colour_of(index) for index in subjects]
        covered = overlay_maps(covered, [maps.at(index, kind, step) for index in subjects], inks, style)
    frame = Image.new("RGB", (2 * shown.width, shown.height))
    frame.paste(shown, (0, 0))
    frame.paste(covered, (shown.width, 0))
    return frame
