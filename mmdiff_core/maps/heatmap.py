"""Attention maps as images: a colour per subject, over the result in grey."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

# Okabe and Ito's colours, which colour-blind people tell apart; neighbours in the list contrast most.
PALETTE: tuple[str, ...] = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
FLAT_CONTRAST = 0.02  # a map whose values differ by no more than that share of the highest is flat; as in heatmap.js

# The rule of overlay.js, which a test holds them to.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
GROUND_DARK, GROUND_RANGE = 0.12, 0.5  # the image in grey: what black becomes, and how much lighter white is
CONTRAST = 1.3  # exponent of a strength; above 1 it keeps weak attention from veiling the image
HALF = 0.5
HIGHLIGHT = 0.7  # how far a light spot of the image turns a colour to white
PALETTE_GREY = 0.2  # of the image under a perceptual palette
MIN_LINE, LINES_A_SIDE = 0.6, 260  # an outline's width: pixels at least, and its part of the longer side

# Equally spaced colours of perceptual palettes, with straight lines between them; as in palettes.js.
PALETTE_TABLES = {
    "viridis": (
        "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 84d44b addc30 "
        "d8e219 fde725"
    ),
    "inferno": (
        "000004 0b0724 210c4a 3d0965 57106e 71196e 8a226a a32c61 bc3754 d24644 e45a31 f1731d f98e09 fcac11 f9cb35 "
        "f2ea69 fcffa4"
    ),
}
HeatmapPalette = Literal["subject", "viridis", "inferno"]


@dataclass(frozen=True)
class HeatmapStyle:
    """How maps are drawn over an image.

    Attributes:
        opacity: from 0, the image as it is, to 1.
        threshold: strengths below it, from 0 to 1, are not drawn.
        palette: the subjects' own colours, or a perceptual palette for the strongest of them.
        outline: a line at the threshold, or at half of the range where there is none.
    """

    opacity: float = 1.0
    threshold: float = 0.0
    palette: HeatmapPalette = "subject"
    outline: bool = True


SUBJECT_COLOURS = HeatmapStyle()


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


def strengths_of(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a map (h, w) of any range to [0, 1], and enlarge it to (height, width) to be drawn over an image.

    Beyond the middle of the outermost cell it goes straight on: held constant there, outlines would end in stubs.
    """
    rows, columns = values.shape
    beyond = np.pad(normalise(values), 1, mode="reflect", reflect_type="odd")
    enlarged = Image.fromarray(beyond).resize(size, Image.Resampling.BILINEAR, (1, 1, columns + 1, rows + 1))
    return np.asarray(enlarged).clip(0, 1)


def overlay_maps(
    image: Image.Image, maps: Sequence[np.ndarray], colours: Sequence[str], style: HeatmapStyle = SUBJECT_COLOURS
) -> Image.Image:
    """Draw maps over an image as the page draws them: the image in grey, under the colours of what attends.

    The colours follow the image's lightness, so that its shapes stay visible. Where maps overlap, their colours mix by
    strength. overlay.js does the same, pixel by pixel.

    Args:
        image: the image.
        maps: each (h, w) of any range; normalised here.
        colours: one per map, ``#RRGGBB``.
        style: how they are drawn.

    Returns:
        An RGB image of the same size; without maps, the image.
    """
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255  # (height, width, 3)
    if not maps:
        return _image_of(pixels)
    strengths = np.stack([strengths_of(values, image.size) for values in maps])  # (S, height, width)
    inks = np.array([rgb(colour) for colour in colours], dtype=np.float32) / 255  # (S, 3)
    grey = (pixels @ LUMA)[..., None]
    paint = _in_palette if style.palette in PALETTE_TABLES else _in_inks
    mixed = pixels + style.opacity * (paint(strengths, inks, grey, style) - pixels)
    if style.outline:
        for strength, ink in zip(strengths, inks, strict=True):
            mixed = _outlined(mixed, strength, ink, style.threshold or HALF)
    return _image_of(mixed)


def overlay(image: Image.Image, values: np.ndarray, colour: str, opacity: float = 1.0) -> Image.Image:
    """Draw one map over an image; see :func:`overlay_maps`.

    Args:
        image: the image.
        values: a map (h, w) of any range; normalised here.
        colour: ``#RRGGBB``.
        opacity: 0 leaves the image as it is but for the outline, 1 shows it in grey and in the colour.
    """
    return overlay_maps(image, [values], [colour], HeatmapStyle(opacity=opacity))


def overlay_subjects(image: Image.Image, heatmaps: Iterable[np.ndarray]) -> Image.Image:
    """Draw the map of every subject over an image, each in its colour."""
    maps = list(heatmaps)
    return overlay_maps(image, maps, [colour_of(subject) for subject in range(len(maps))])


def palette_colours(name: str, strength: np.ndarray) -> np.ndarray:
    """Return the colours (..., 3) from 0 to 1 of strengths (...) from 0 to 1 in a perceptual palette."""
    table = np.array([rgb(colour) for colour in PALETTE_TABLES[name].split()], dtype=np.float32) / 255
    at = strength * (len(table) - 1)
    low = np.minimum(len(table) - 2, at.astype(int))
    colours: np.ndarray = table[low] + (at - low)[..., None] * (table[low + 1] - table[low])
    return colours


def _in_inks(strengths: np.ndarray, inks: np.ndarray, grey: np.ndarray, style: HeatmapStyle) -> np.ndarray:
    """Draw every subject's colour where it attends, lighter and darker as the image is."""
    shown = np.where(strengths >= style.threshold, strengths, 0) ** CONTRAST
    total = shown.sum(0)[..., None]
    ink = np.divide(np.einsum("shw,sc->hwc", shown, inks), total, out=np.zeros((*grey.shape[:2], 3)), where=total > 0)
    tint = np.where(grey < HALF, ink * (HALF + grey), ink + (1 - ink) * (grey - HALF) * HIGHLIGHT)
    ground = GROUND_DARK + GROUND_RANGE * grey
    painted: np.ndarray = ground + shown.max(0)[..., None] * (tint - ground)
    return painted


def _in_palette(strengths: np.ndarray, _inks: np.ndarray, grey: np.ndarray, style: HeatmapStyle) -> np.ndarray:
    """Draw the strongest subject's strength in a perceptual palette."""
    strongest = strengths.max(0)
    shown = palette_colours(style.palette, strongest) * (1 - PALETTE_GREY) + grey * PALETTE_GREY
    ground = GROUND_DARK + GROUND_RANGE * grey
    return np.where((strongest >= style.threshold)[..., None], shown, ground)


def _outlined(pixels: np.ndarray, strength: np.ndarray, ink: np.ndarray, level: float) -> np.ndarray:
    """Draw a line in the subject's colour, with white beside it, where its strength (height, width) is ``level``."""
    if min(strength.shape) < 2:
        return pixels
    steepness = np.hypot(*np.gradient(strength))
    distance = np.abs(strength - level) / np.maximum(steepness, 1e-6)  # pixels, to first order
    width = max(MIN_LINE, max(strength.shape) / LINES_A_SIDE)
    for colour, thickness, opacity in ((np.ones(3), 2.4, 0.9), (ink, 1.4, 1.0)):
        cover = opacity * (thickness * width / 2 + HALF - distance).clip(0, 1)[..., None]
        pixels = pixels + cover * (colour - pixels)
    return pixels


def _image_of(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray((pixels * 255).round().clip(0, 255).astype(np.uint8))
