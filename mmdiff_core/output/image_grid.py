"""Sample sheets: rows of pictures in one PNG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

GAP = 2


def to_pixels(pictures: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> float32 in [0, 1]."""
    return pictures.float() / 255


def to_image(picture: Tensor) -> Image.Image:
    """(3, H, W), uint8 or in [0, 1] -> a picture."""
    if picture.dtype != torch.uint8:
        picture = (picture.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(picture.movedim(0, -1).cpu().numpy())


def grid(rows: Sequence[Tensor]) -> Image.Image:
    """Rows of pictures (B, 3, H, W) in [0, 1], one below the other."""
    return tile([[to_image(picture) for picture in row] for row in rows])


def tile(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Rows of pictures on white, every row as high as its highest picture."""
    heights = [max(picture.height for picture in row) for row in rows]
    width = max(sum(picture.width + GAP for picture in row) for row in rows)
    sheet = np.full((sum(heights) + GAP * len(rows), width, 3), 255, dtype=np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for picture in row:
            sheet[top : top + picture.height, left : left + picture.width] = np.asarray(picture.convert("RGB"))
            left += picture.width + GAP
        top += height + GAP
    return Image.fromarray(sheet)
