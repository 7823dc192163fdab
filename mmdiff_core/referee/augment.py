"""What happens to renders before the referee sees them: what cameras, files and autoencoders do, but no mush.

Slight blur, other resolutions and JPEG must not change a verdict. A picture in which nothing can be made out any more
(``spoil``) must: the referee learns that no toy is there.
"""

from __future__ import annotations

import io
import random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

SMALLEST = 0.55  # of the side that a picture may be shrunk to
GREATEST_BLUR = 1.1  # standard deviation in pixels
MUSH_BLUR = (5.0, 9.0)


def crop(rng: random.Random, pictures: Tensor, slots: Tensor, mirror: bool) -> tuple[Tensor, Tensor]:
    """Zoom into a picture a little, off its centre, and perhaps mirror it.

    Args:
        rng: decides how.
        pictures: (B, 3, R, R) in [0, 1].
        slots: uint8 (B, R, R).
        mirror: whether to; a scene and the photo of its toy must be mirrored alike.
    """
    grids = torch.cat([_grid(rng, pictures.shape[-1], mirror) for _ in pictures])  # (B, R, R, 2)
    cropped = F.grid_sample(pictures, grids, padding_mode="border", align_corners=False)
    labels = F.grid_sample(slots[:, None].float(), grids, mode="nearest", padding_mode="zeros", align_corners=False)
    return cropped, labels[:, 0].round().to(torch.uint8)


def _grid(rng: random.Random, side: int, mirror: bool) -> Tensor:
    scale = rng.uniform(0.84, 1.0)
    room = 1 - scale  # never beyond the border
    x, y = rng.uniform(-room, room), rng.uniform(-room, room)
    matrix = torch.tensor([[[-scale if mirror else scale, 0.0, x], [0.0, scale, y]]])
    return F.affine_grid(matrix, [1, 1, side, side], align_corners=False)


def degrade(rng: random.Random, picture: Tensor) -> Tensor:
    """One picture (3, R, R) in [0, 1] after what may happen to it on its way; looks the same to a person."""
    if rng.random() < 0.5:
        picture = _resized(picture, rng.uniform(SMALLEST, 1.0))
    if rng.random() < 0.3:
        picture = blurred(picture, rng.uniform(0.3, GREATEST_BLUR))
    if rng.random() < 0.5:
        picture = picture * rng.uniform(0.93, 1.07) + rng.uniform(-0.03, 0.03)
    if rng.random() < 0.25:
        picture = picture + torch.randn(picture.shape, generator=_generator(rng)) * rng.uniform(0.005, 0.03)
    picture = picture.clamp(0, 1)
    return _jpeg(picture, rng.randint(35, 92)) if rng.random() < 0.3 else picture


def spoil(rng: random.Random, picture: Tensor) -> Tensor:
    """The same colours, but nothing to be made out: blurred heavily, or cut into squares and shuffled."""
    if rng.random() < 0.5:
        return blurred(picture, rng.uniform(*MUSH_BLUR) * picture.shape[-1] / 96)
    return _shuffled(rng, picture, squares=rng.choice((8, 6)))


def blurred(picture: Tensor, deviation: float) -> Tensor:
    """A picture (3, H, W) under a Gaussian of so many pixels."""
    reach = max(1, round(3 * deviation))
    x = torch.arange(-reach, reach + 1, dtype=torch.float32, device=picture.device)
    kernel = torch.exp(-(x**2) / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = F.pad(picture[None], (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel[..., None, :], groups=3), kernel[..., :, None], groups=3)[0]


def _shuffled(rng: random.Random, picture: Tensor, squares: int) -> Tensor:
    """The picture's squares, ``squares`` a side, in another order."""
    side = picture.shape[-1] // squares
    pieces = picture.unfold(1, side, side).unfold(2, side, side).reshape(3, -1, side, side)
    order = rng.sample(range(pieces.shape[1]), pieces.shape[1])
    rows = pieces[:, order].unflatten(1, (squares, squares))  # (3, rows, columns, side, side)
    whole = rows.movedim(2, 3).reshape(1, 3, squares * side, squares * side)
    return F.interpolate(whole, picture.shape[-2:], mode="bilinear", align_corners=False)[0]


def _resized(picture: Tensor, scale: float) -> Tensor:
    """Down and up again."""
    side = picture.shape[-1]
    small = F.interpolate(picture[None], round(side * scale), mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, side, mode="bicubic", align_corners=False)[0]


def _jpeg(picture: Tensor, quality: int) -> Tensor:
    pixels = (picture * 255).round().to(torch.uint8).movedim(0, -1).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).movedim(-1, 0).float() / 255


def _generator(rng: random.Random) -> torch.Generator:
    return torch.Generator().manual_seed(rng.getrandbits(31))
