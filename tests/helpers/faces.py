"""People for tests: coloured squares on grey, and an analyser that finds them, as a real one finds faces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image, ImageDraw

from mmdiff_core.encoders.face import DetectedFace
from mmdiff_core.types import Box, Face

GROUND = (128, 128, 128)
RED, GREEN, BLUE = (200, 30, 40), (30, 190, 60), (40, 60, 210)
SIDE = 8  # of the smallest square


def group(*colours: tuple[int, int, int], sizes: tuple[int, ...] = ()) -> Image.Image:
    """A photo of people side by side; ``sizes`` of their squares, else all are small."""
    sizes = sizes or (SIDE,) * len(colours)
    image = Image.new("RGB", (16 * max(len(colours), 1), 24), GROUND)
    draw = ImageDraw.Draw(image)
    for place, (colour, size) in enumerate(zip(colours, sizes, strict=True)):
        draw.rectangle((16 * place + 2, 4, 16 * place + 1 + size, 3 + size), fill=colour)
    return image


def identity(colour: tuple[int, ...]) -> tuple[float, ...]:
    """512 numbers of unit norm that stand for a colour alone."""
    generator = torch.Generator().manual_seed(int.from_bytes(bytes(colour), "big"))
    return tuple(torch.nn.functional.normalize(torch.randn(512, generator=generator), dim=0).tolist())


class Squares:
    """A :class:`~mmdiff_core.encoders.face.FaceAnalyser` that finds the squares of :func:`group`."""

    def find(self, photo: Image.Image) -> tuple[DetectedFace, ...]:
        return tuple(self._squares(photo))

    def _squares(self, photo: Image.Image) -> Iterator[DetectedFace]:
        pixels = np.asarray(photo.convert("RGB"))
        coloured = (pixels != GROUND).any(2)
        columns = np.flatnonzero(coloured.any(0))
        for run in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1) if len(columns) else ():
            left, right = int(run[0]), int(run[-1]) + 1
            rows = np.flatnonzero(coloured[:, left])
            top, bottom = int(rows[0]), int(rows[-1]) + 1
            colour = tuple(pixels[top, left].tolist())
            box = Box(left / photo.width, top / photo.height, right / photo.width, bottom / photo.height)
            yield DetectedFace(box, Face(identity(colour), photo.crop((left, top, right, bottom)).resize((32, 32))))
