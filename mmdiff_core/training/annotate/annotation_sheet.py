"""Contact sheets of an annotated folder."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mmdiff_core.maps.heatmap import colour_of, rgb
from mmdiff_core.output.image_grid import Line, captioned, image_grid
from mmdiff_core.training.annotated.folder import AnnotatedFolder

IMAGE_SIDE = 256  # pixels on the sheet
CAPTION_LENGTH = 84  # letters, about two lines
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
        image_grid([cards[start : start + ACROSS] for start in range(0, len(cards), ACROSS)]).save(file)
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
    square = Image.new("RGB", (IMAGE_SIDE, IMAGE_SIDE), "white")
    square.paste(shown, (0, 0))
    draw = ImageDraw.Draw(square)
    for place, segment in enumerate(segments):
        left, top, right, bottom = (edge * scale for edge in segment.box)
        if right > left and bottom > top:
            draw.rectangle((left, top, right, bottom), outline=colour_of(place), width=2)
    caption = textwrap.shorten(record.annotation.caption, CAPTION_LENGTH, placeholder="...")
    words = (segment.word + (f" = {segment.identity}" if segment.identity else "") for segment in segments)
    coloured = [Line(word, colour_of(place)) for place, word in enumerate(words)]
    return captioned(square, [record.annotation.image_id, caption, *coloured])
