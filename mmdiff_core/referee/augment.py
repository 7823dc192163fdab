"""Augmentation of the referee's training images.

Slight blur, other resolutions and JPEG (``degrade``) must not change a judgement. An image in which nothing is
recognisable any more (``spoil``) must: the referee learns that no toy is present.
"""

from __future__ import annotations

import io
import random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

MIN_SCALE = 0.55  # of the side that an image may be shrunk to
MAX_BLUR = 1.1  # standard deviation, as are those below, in pixels of an image of BLUR_SIZE
MUSH_BLUR = (5.0, 9.0)
BLUR_SIZE = 96


def crop(rng: random.Random, images: Tensor, slots: Tensor, mirror: bool) -> tuple[Tensor, Tensor]:
    """Zoom into images slightly, off their centres, and mirror them on request.

    Args:
        rng: draws scale and offset.
        images: (B, 3, R, R) in [0, 1].
        slots: uint8 (B, R, R).
        mirror: whether to mirror; a scene and the photo of its toy must be mirrored alike.
    """
    grids = torch.cat([_grid(rng, images.shape[-1], mirror) for _ in images])  # (B, R, R, 2)
    cropped = F.grid_sample(images, grids, padding_mode="border", align_corners=False)
    labels = F.grid_sample(slots[:, None].float(), grids, mode="nearest", padding_mode="zeros", align_corners=False)
    return cropped, labels[:, 0].round().to(torch.uint8)


def _grid(rng: random.Random, side: int, mirror: bool) -> Tensor:
    scale = rng.uniform(0.84, 1.0)
    room = 1 - scale  # never beyond the border
    x, y = rng.uniform(-room, room), rng.uniform(-room, room)
    matrix = torch.tensor([[[-scale if mirror else scale, 0.0, x], [0.0, scale, y]]])
    return F.affine_grid(matrix, [1, 1, side, side], align_corners=False)


def degrade(rng: random.Random, image: Tensor) -> Tensor:
    """Degrade an image (3, R, R) in [0, 1] as cameras, files and autoencoders do; a person sees no difference."""
    if rng.random() < 0.5:
        image = _resized(image, rng.uniform(MIN_SCALE, 1.0))
    if rng.random() < 0.3:
        image = blurred(image, rng.uniform(0.3, MAX_BLUR) * image.shape[-1] / BLUR_SIZE)
    if rng.random() < 0.5:
        image = image * rng.uniform(0.93, 1.07) + rng.uniform(-0.03, 0.03)
    if rng.random() < 0.25:
        noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(rng.getrandbits(31)))
        image = image + noise * rng.uniform(0.005, 0.03)
    image = image.clamp(0, 1)
    return jpeg(image, rng.randint(35, 92)) if rng.random() < 0.3 else image


def spoil(rng: random.Random, image: Tensor) -> Tensor:
    """Keep the colours but make the content unrecognisable, by heavy blur or by shuffling squares."""
    if rng.random() < 0.5:
        return blurred(image, rng.uniform(*MUSH_BLUR) * image.shape[-1] / BLUR_SIZE)
    return _shuffled(rng, image, squares=rng.choice((8, 6)))


def blurred(image: Tensor, deviation: float) -> Tensor:
    """Blur an image (3, H, W) with a Gaussian; ``deviation`` is in pixels."""
    reach = max(1, round(3 * deviation))
    x = torch.arange(-reach, reach + 1, dtype=torch.float32, device=image.device)
    kernel = torch.exp(-(x**2) / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = F.pad(image[None], (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel[..., None, :], groups=3), kernel[..., :, None], groups=3)[0]


def _shuffled(rng: random.Random, image: Tensor, squares: int) -> Tensor:
    """Shuffle the image's squares, ``squares`` per side."""
    side = image.shape[-1] // squares
    pieces = image.unfold(1, side, side).unfold(2, side, side).reshape(3, -1, side, side)
    order = rng.sample(range(pieces.shape[1]), pieces.shape[1])
    rows = pieces[:, order].unflatten(1, (squares, squares))  # (3, rows, columns, side, side)
    whole = rows.movedim(2, 3).reshape(1, 3, squares * side, squares * side)
    return F.interpolate(whole, image.shape[-2:], mode="bilinear", align_corners=False)[0]


def _resized(image: Tensor, scale: float) -> Tensor:
    """Resize an image down and up again."""
    side = image.shape[-1]
    small = F.interpolate(image[None], round(side * scale), mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, side, mode="bicubic", align_corners=False)[0]


def jpeg(image: Tensor, quality: int) -> Tensor:
    """Compress an image (3, H, W) in [0, 1] as JPEG, and decompress it."""
    pixels = (image * 255).round().to(torch.uint8).movedim(0, -1).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).movedim(-1, 0).float() / 255
