"""Images in a grid, with text: contact sheets, sample sheets and comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

GAP = 2
_FONT_SIZE = 11
_MARGIN = 3  # pixels around text


class Line(NamedTuple):
    """A line of text."""

    text: str
    colour: str = "black"
    size: int = _FONT_SIZE

    @property
    def font(self) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        """Return the font at this size."""
        return ImageFont.load_default(self.size)

    @property
    def height(self) -> int:
        """Return the distance to the next line."""
        return self.size + 3


def to_pixels(images: Tensor) -> Tensor:
    """Turn uint8 (B, 3, H, W) into float32 in [0, 1]."""
    return images.float() / 255


def to_image(image: Tensor) -> Image.Image:
    """Turn a tensor (3, H, W), uint8 or in [0, 1], into an image."""
    if image.dtype != torch.uint8:
        image = (image.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(image.movedim(0, -1).cpu().numpy())


def enlarged_to(image: Image.Image, side: int) -> Image.Image:
    """Enlarge an image by a whole number, so that its longer side has at least ``side`` pixels."""
    return enlarged(image, -(-side // max(image.size)))


def enlarged(image: Image.Image, factor: int) -> Image.Image:
    """Enlarge an image by a whole number, which may be 1."""
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.LANCZOS)


def image_grid(rows: Sequence[Sequence[Image.Image] | Tensor], gap: int = GAP) -> Image.Image:
    """Lay out rows on white, each as high as its highest image.

    Args:
        rows: of images, or tensors (B, 3, H, W) as :func:`to_image` takes them.
        gap: pixels to the right of every image and below every row.
    """
    cells = [[to_image(cell) if isinstance(cell, Tensor) else cell for cell in row] for row in rows]
    heights = [max(image.height for image in row) + gap for row in cells]
    width = max(sum(image.width + gap for image in row) for row in cells)
    grid = Image.new("RGB", (width, sum(heights)), "white")
    for number, row in enumerate(cells):
        left = 0
        for image in row:
            grid.paste(image.convert("RGB"), (left, sum(heights[:number])))
            left += image.width + gap
    return grid


def text_block(
    lines: Sequence[str | Line], width: int, height: int | None = None, background: str = "white"
) -> Image.Image:
    """Write lines below one another, wrapped at words to ``width`` pixels.

    Without ``height`` the block is as high as its text; with it, text that does not fit is cut off.
    """
    wrapped = [part for line in lines for part in _wrapped(Line(line) if isinstance(line, str) else line, width)]
    block = Image.new("RGB", (width, height or sum(line.height for line in wrapped) + 2 * _MARGIN), background)
    draw, top = ImageDraw.Draw(block), _MARGIN
    for line in wrapped:
        draw.text((_MARGIN, top), line.text, line.colour, line.font)
        top += line.height
    return block


def captioned(image: Image.Image, lines: Sequence[str | Line], height: int | None = None) -> Image.Image:
    """Put text below an image, in a block of ``height`` pixels or as high as the text."""
    return image_grid([[image], [text_block(lines, image.width, height)]], gap=0)


def shared_cell(images: Sequence[Image.Image], size: tuple[int, int]) -> Image.Image:
    """Fit up to four whole images into the space of one."""
    cell = Image.new("RGB", size, "white")
    across = 1 if len(images) <= 1 else 2
    part = (size[0] // across, size[1] // across)
    for index, image in enumerate(images[:4]):
        cell.paste(ImageOps.contain(image, part), (index % 2 * part[0], index // 2 * part[1]))
    return cell


def _wrapped(line: Line, width: int) -> Iterator[Line]:
    """Break a line at words where it is too long."""
    words, font = line.text.split(" "), line.font
    start = words.pop(0)
    for word in words:
        longer = f"{start} {word}"
        if font.getlength(longer) <= width - 2 * _MARGIN:
            start = longer
        else:
            yield line._replace(text=start)
            start = word
    yield line._replace(text=start)
