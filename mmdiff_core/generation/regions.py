"""Regions: boxes and masks that keep a subject in its part of the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmdiff_core.errors import SettingsError
from mmdiff_core.types import Box, Subject


def read_regions(subjects: Sequence[Subject], size: tuple[int, int]) -> Tensor | None:
    """Return where each subject may be, (1, S, h, w) in [0, 1]; None without any region.

    Args:
        subjects: with their regions.
        size: (width, height) of the latents.

    Raises:
        SettingsError: a box is not inside the image, or a region is empty.
    """
    if all(subject.region is None for subject in subjects):
        return None
    return torch.stack([_read_region(subject, size) for subject in subjects])[None]


def _read_region(subject: Subject, size: tuple[int, int]) -> Tensor:
    """Return one region (h, w): the share of every latent pixel that is inside."""
    region = subject.region
    if region is None:
        return torch.ones(size[1], size[0])
    if isinstance(region, Box):
        inside = [_overlap(*edges, n) for edges, n in zip(_edges(subject.name, region), size, strict=True)]
        covered = inside[1][:, None] * inside[0][None, :]
    else:
        mask = region.convert("L").resize(size, Image.Resampling.BOX)
        covered = torch.from_numpy(np.asarray(mask, dtype=np.float32) / 255)
    if covered.max() == 0:
        raise SettingsError(f'The region of "{subject.name}" is empty: draw it, or leave it out.')
    return covered


def region_box(region: Box | Image.Image | None) -> tuple[float, float, float, float]:
    """Return the smallest box around a region, (left, top, right, bottom) in fractions; zeros without one."""
    if region is None:
        return 0.0, 0.0, 0.0, 0.0
    if isinstance(region, Box):
        return region.left, region.top, region.right, region.bottom
    left, top, right, bottom = region.convert("L").getbbox() or (0, 0, 0, 0)
    width, height = region.size
    return left / width, top / height, right / width, bottom / height


def _edges(name: str, box: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Check a box and return its (left, right), (top, bottom)."""
    across, down = (box.left, box.right), (box.top, box.bottom)
    if not all(0 <= low < high <= 1 for low, high in (across, down)):
        raise SettingsError(
            f'The box of "{name}" must lie in the image, left before right and top before bottom, all from 0 to 1, '
            f"but is {describe_region(box)}."
        )
    return across, down


def _overlap(low: float, high: float, count: int) -> Tensor:
    """Return the share of each of ``count`` cells of [0, 1] that [low, high] covers."""
    cells = torch.arange(count) / count
    return (((cells + 1 / count).clamp(max=high) - cells.clamp(min=low)).clamp(min=0) * count).round(decimals=6)


def describe_region(region: Box | Image.Image) -> list[float] | str:
    """Describe a region for messages and for an image's settings."""
    return [region.left, region.top, region.right, region.bottom] if isinstance(region, Box) else "mask"
