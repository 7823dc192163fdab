"""Image styles: batched filters over rendered images, the same on CPU and CUDA.

Letters: B images, H x W pixels, u the shorter side. A filter takes images (B, 3, H, W) in [0, 1] and their ``Grain``,
and returns images of the same shape and range. Strokes and blots have sizes relative to u, so that an image of another
size shows the same style. Every operation treats each image of the batch alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdiff_core.errors import SettingsError

_PAPER = (0.985, 0.975, 0.945)


class Grain(NamedTuple):
    """The irregularities of paper and hand, a pure function of each image's seed."""

    seeds: Tensor  # (B,) long

    def cells(self, rows: int, columns: int, salt: int) -> Tensor:
        """Return white noise (B, 1, rows, columns), uniform in [-1, 1]: an integer hash, equal on every device."""
        device = self.seeds.device
        y, x = torch.arange(rows, device=device)[:, None], torch.arange(columns, device=device)
        mixed = x * 374_761_393 + y * 668_265_263 + ((self.seeds + salt) * 974_634_777)[:, None, None]
        mixed = ((mixed ^ (mixed >> 13)) * 1_274_126_177) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 16)) * 2_246_822_519) & 0xFFFFFFFF
        return ((mixed ^ (mixed >> 15)) & 0xFFFF)[:, None].float() / 32767.5 - 1

    def clouds(self, height: int, width: int, count: int, salt: int) -> Tensor:
        """Return smooth noise (B, 1, H, W) in [-1, 1] with ``count`` cells along the shorter side."""
        unit = min(height, width)
        cells = self.cells(round(count * height / unit) + 1, round(count * width / unit) + 1, salt)
        return F.interpolate(cells, (height, width), mode="bicubic", align_corners=True).clamp_(-1, 1)


def watercolour(images: Tensor, grain: Grain) -> Tensor:
    """Paint flat washes with dark edges, blooms and granulation, and leave the paper white around the image."""
    height, width = images.shape[-2:]
    wash = _flattened(images, max(1, round(min(height, width) / 110)))
    edges = (_local_contrast(wash) * 1.8).clamp_(0, 1)
    bloom, fine = grain.clouds(height, width, 7, 1), grain.clouds(height, width, min(height, width) // 2, 2)
    density = 0.76 + 0.17 * bloom + 0.07 * fine + 0.40 * edges
    paint = 1 - (1 - wash) * density
    left_white = _frame(height, width, images.device) + 0.016 * grain.clouds(height, width, 9, 3)
    covered = ((left_white - 0.022) / 0.014).clamp(0, 1)
    return (_paper(images) * torch.lerp(torch.ones_like(paint), paint, covered)).clamp_(0, 1)


def pencil_sketch(images: Tensor, grain: Grain) -> Tensor:
    """Draw dark outlines and hatching on paper, tinted with coloured pencil; darker tones get denser hatching."""
    height, width = images.shape[-2:]
    tone = _luma(images)
    lines = (_local_contrast(images) * 3.6 - 0.12).clamp_(0, 1)
    shaken = 0.012 * grain.clouds(height, width, 10, 4)
    dark = 1 - tone
    hatching = torch.zeros_like(tone)
    for angle, start in ((0.7, 0.12), (-0.8, 0.45), (0.1, 0.72)):
        strokes = _strokes(height, width, angle, shaken, images.device)
        hatching = torch.maximum(hatching, strokes * ((dark - start) * 3).clamp(0, 1))
    rough = 0.84 + 0.16 * grain.clouds(height, width, min(height, width) // 2, 5)
    tint = torch.lerp(torch.ones_like(images), _vivid(images), 0.62 * rough * (0.8 + 0.2 * hatching))
    graphite = 1 - (0.80 * lines + 0.30 * hatching).clamp_(0, 0.92) * rough
    return (_paper(images) * tint * graphite).clamp_(0, 1)


def pixel_art(images: Tensor, grain: Grain) -> Tensor:
    """Reduce the image to big square pixels of few colours with an ordered dither."""
    height, width = images.shape[-2:]
    block = max(2, round(min(height, width) / 60))
    rows, columns = -(-height // block), -(-width // block)
    padded = F.pad(images, (0, columns * block - width, 0, rows * block - height), mode="replicate")
    cells = _vivid(F.avg_pool2d(padded, block))
    matrix = torch.tensor(_BAYER, device=images.device)[None].repeat(1, -(-rows // 4), -(-columns // 4))
    steps = 7
    levels = torch.floor(cells * (steps - 1) + 0.5 + (matrix[:, :rows, :columns] - 0.5) * 0.3) / (steps - 1)
    big = levels.repeat_interleave(block, 2).repeat_interleave(block, 3)
    return big[..., :height, :width].clamp(0, 1)


Filter = Callable[[Tensor, Grain], Tensor]

FILTERS: Mapping[str, Filter] = MappingProxyType(
    {"watercolour": watercolour, "pencil sketch": pencil_sketch, "pixel art": pixel_art}
)
PHOTO = "photo"
STYLES = (PHOTO, *FILTERS)


def restyle(images: Tensor, styles: Sequence[str], seeds: Sequence[int]) -> None:
    """Apply each image's style to ``images`` (B, 3, H, W) in place; photos stay as they are.

    Raises:
        SettingsError: there is no such style.
    """
    for style in dict.fromkeys(styles):
        if style not in STYLES:
            raise SettingsError(f'There is no image style "{style}". Choose one of: {", ".join(STYLES)}.')
        if style == PHOTO:
            continue
        rows = [i for i, name in enumerate(styles) if name == style]
        grain = Grain(torch.tensor([seeds[i] for i in rows], device=images.device))
        images[rows] = FILTERS[style](images[rows], grain)


_BAYER = tuple(
    tuple((value + 0.5) / 16 for value in row) for row in ((0, 8, 2, 10), (12, 4, 14, 6), (3, 11, 1, 9), (15, 7, 13, 5))
)


def _paper(images: Tensor) -> Tensor:
    return torch.tensor(_PAPER, device=images.device).view(3, 1, 1)


def _luma(images: Tensor) -> Tensor:
    """Return the brightness (B, 1, H, W)."""
    red, green, blue = images.split(1, 1)
    return 0.3 * red + 0.59 * green + 0.11 * blue


def _vivid(images: Tensor, by: float = 1.25) -> Tensor:
    """Saturate the colours and keep their brightness."""
    grey = _luma(images)
    return torch.lerp(grey.expand_as(images), images, by).clamp_(0, 1)


def _flattened(images: Tensor, radius: int) -> Tensor:
    """Apply Kuwahara's filter, the mean of the quadrant around a pixel that varies least: flat areas, sharp edges."""
    size = radius + 1
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    mean = F.avg_pool2d(padded, size, 1)
    tone = _luma(padded)
    spread = F.avg_pool2d(tone.square(), size, 1) - _luma(mean).square()
    height, width = images.shape[-2:]
    quadrants = [(y, x) for y in (0, radius) for x in (0, radius)]
    best, least = images, torch.full_like(tone[..., :height, :width], math.inf)
    for y, x in quadrants:
        here = spread[..., y : y + height, x : x + width]
        best = torch.where(here < least, mean[..., y : y + height, x : x + width], best)
        least = torch.minimum(here, least)
    return best


def _local_contrast(images: Tensor) -> Tensor:
    """Return the greatest difference of a channel across a pixel (B, 1, H, W): outlines one or two pixels wide."""
    reach = max(1, round(min(images.shape[-2:]) / 160))
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    across = (padded[..., reach:-reach, 2 * reach :] - padded[..., reach:-reach, : -2 * reach]).abs()
    down = (padded[..., 2 * reach :, reach:-reach] - padded[..., : -2 * reach, reach:-reach]).abs()
    return (across + down).amax(1, keepdim=True) / 2


def _frame(height: int, width: int, device: torch.device) -> Tensor:
    """Return the distance (H, W) from the image's border in units of its shorter side."""
    unit = min(height, width)
    y, x = torch.arange(height, device=device) + 0.5, torch.arange(width, device=device) + 0.5
    return torch.minimum(torch.minimum(y, height - y)[:, None], torch.minimum(x, width - x)) / unit


def _strokes(height: int, width: int, angle: float, shaken: Tensor, device: torch.device) -> Tensor:
    """Draw parallel, shaky strokes (B, 1, H, W) in [0, 1] at ``angle`` radians."""
    unit = min(height, width)
    y, x = torch.arange(height, device=device)[:, None] / unit, torch.arange(width, device=device) / unit
    count = min(64.0, unit / 3.2)
    wave = torch.sin(math.tau * count * (math.cos(angle) * y + math.sin(angle) * x + shaken))
    return (wave * 0.9 + 0.5).clamp_(0, 1)
