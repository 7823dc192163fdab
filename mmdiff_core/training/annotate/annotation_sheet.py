"""Contact sheets of an annotated folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mmdiff_core.maps.heatmap import colour_of, rgb
from mmdiff_core.output.image_grid import tile
from mmdiff_core.training.annotated.folder import AnnotatedFolder

IMAGE_SIDE = 256  # pixels on the sheet
LINE_HEIGHT = 14
ACROSS, DOWN = 4, 5


def draw_contact_sheets(folder: AnnotatedFolder, out: Path) -> list[Path]:
    """Write every record, twenty to a sheet, as ``contact-001.png`` ...; return the files."""
    for old in out.glob("contact-*.png"):
        old.unlink()
    files: list[Path] = []
    for first in range(0, len(folder), ACROSS * DOWN):
        rows = range(first, min(first + ACROSS * DOWN, len(folder)))
        cards = [draw_card(folder, index) for index in rows]
        file = out / f"contact-{len(files) + 1:03d}.png"
        tile([cards[start : start + ACROSS] for start in range(0, len(cards), ACROSS)]).save(file)
        files.append(file)
    return files


def draw_card(folder: AnnotatedFolder, index: int) -> Image.Image:
    """Draw an image with tinted masks and boxes; below it the caption, and the phrases in the boxes' colours."""
    record = folder.read(index)
    pixels = np.asarray(record.image, dtype=np.float32)
    segments = record.annotation.segments
    for place, segment in enumerate(segments):
        inside = record.mask == segment.id
        pixels = np.where(inside[..., None], 0.5 * pixels + 0.5 * np.array(rgb(colour_of(place))), pixels)
    shown = Image.fromarray(pixels.astype(np.uint8))
    scale = IMAGE_SIDE / max(shown.size)
    shown = shown.resize((max(1, round(shown.width * scale)), max(1, round(shown.height * scale))))
    sheet = Image.new("RGB", (IMAGE_SIDE, IMAGE_SIDE + (3 + len(segments)) * LINE_HEIGHT), "white")
    sheet.paste(shown, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for place, segment in enumerate(segments):
        left, top, right, bottom = (edge * scale for edge in segment.box)
        if right > left and bottom > top:
            draw.rectangle((left, top, right, bottom), outline=colour_of(place), width=2)
    lines = [(record.annotation.image_id, "black"), *((line, "black") for line in _wrapped(record.annotation.caption))]
    lines += [
        (segment.word + (f" = {segment.identity}" if segment.identity else ""), colour_of(place))
        for place, segment in enumerate(segments)
    ]
    for row, (text, colour) in enumerate(lines):
        draw.text((2, IMAGE_SIDE + row * LINE_HEIGHT), text, fill=colour)
    return sheet


def _wrapped(caption: str, width: int = 42) -> Sequence[str]:
    """Wrap the caption in at most two lines."""
    first = caption[:width].rsplit(" ", 1)[0] if len(caption) > width else caption
    rest = caption[len(first) :].strip()
    return [first, rest if len(rest) <= width else rest[: width - 3] + "..."] if rest else [first]
