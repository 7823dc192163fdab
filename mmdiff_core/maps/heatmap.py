"""Attention maps as images: a colour per subject, laid over the result."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

# Okabe and Ito's colours, which colour-blind people tell apart; neighbours in the list contrast most.
PALETTE: tuple[str, ...] = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
FLAT_CONTRAST = 0.02  # a map whose values differ by no more than that share of the highest is flat; as in heatmap.js


def colour_of(subject: int) -> str:
    """Return the colour of a subject as ``#RRGGBB``; colours repeat after seven."""
    return PALETTE[subject % len(PALETTE)]


def rgb(colour: str) -> tuple[int, int, int]:
    """Return ``#RRGGBB`` as three numbers from 0 to 255."""
    digits = colour.lstrip("#")
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def is_flat(values: np.ndarray) -> bool:
    """Whether a map (h, w) is so even that it points nowhere."""
    return not normalise(values).any()


def normalise(values: np.ndarray, percentile: float = 99.0) -> np.ndarray:
    """Scale a map (h, w) to [0, 1] from its minimum to its 99th percentile; a flat map becomes 0.

    The percentile keeps one bright pixel from hiding the rest.
    """
    low, high = float(values.min()), float(np.percentile(values, percentile))
    if high - low <= FLAT_CONTRAST * abs(high):
        return np.zeros_like(values, dtype=np.float32)
    return ((values - low) / (high - low)).clip(0, 1).astype(np.float32)


def enlarge(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarge a map (h, w) to (height, width) for an image of ``size`` = (width, height), bilinear."""
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))


def overlay(image: Image.Image, values: np.ndarray, colour: str, opacity: float = 0.7) -> Image.Image:
    """Overlay an image with a map in one colour.

    Args:
        image: the image.
        values: a map (h, w) of any range; normalised here.
        colour: ``#RRGGBB``.
        opacity: of the colour where the map is at its peak, 0 to 1.
    """
    cover = (enlarge(normalise(values), image.size) * opacity)[..., None]  # (height, width, 1)
    ground = np.asarray(image.convert("RGB"), dtype=np.float32)
    mixed = ground * (1 - cover) + np.array(rgb(colour), dtype=np.float32) * cover
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


def overlay_subjects(image: Image.Image, heatmaps: Iterable[np.ndarray]) -> Image.Image:
    """Overlay an image with the map of every subject in its colour."""
    for subject, heatmap in enumerate(heatmaps):
        image = overlay(image, heatmap, colour_of(subject))
    return image
