"""Brings images of more than 8 bits per sample to 8 bits.

A file often stores fewer bits than it has room for: 10 or 12 of a camera, 8 of a program. Nothing in it says so
reliably, so the highest value decides.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DEPTHS = (8, 10, 12, 14, 16)  # bits
STRIP_PIXELS = 2**18  # that are floats at a time
DARK = 64  # a 16-bit image whose high bytes are all below may have at most 14 bits
_SWAPPED = {"B": "L", "L": "B", "N": "B"}  # byte orders; N is the machine's, which Pillow's TIFFs have after decoding


def scale_gray(image: Image.Image, depth: int | None = None) -> Image.Image:
    """Return an image of mode I or F in mode L; Pillow's own conversion would clip it to white.

    It goes by strips: a whole image in floats takes many times its memory.

    Args:
        image: decoded.
        depth: its bits, if the file declares them.
    """
    ranges = [(values.min(), values.max()) for _, values in _strips(image)]
    low, high = _range(min(low for low, _ in ranges), max(high for _, high in ranges), image.mode.startswith("I"))
    if depth is not None:
        low, high = 0.0, 2.0**depth - 1
    gray = Image.new("L", image.size)
    for top, values in _strips(image):
        gray.paste(Image.fromarray(((values - low) * (255 / (high - low))).round().astype(np.uint8)), (0, top))
    return gray


def is_deep_colour(image: Image.Image) -> bool:
    """Return whether a file that was just opened has 16 bits per colour, of which Pillow decodes the higher eight."""
    return any(_raw_mode(tile).startswith(("RGB;16", "RGBA;16")) for tile in getattr(image, "tile", ()))


def scale_colour(image: Image.Image, again: Image.Image) -> Image.Image:
    """Return a 16-bit colour image with its true brightness if it uses at most 14 of its bits.

    Args:
        image: as Pillow decodes it, RGB or RGBA.
        again: the same file, opened but not decoded.
    """
    colours = image.convert("RGB").getextrema()
    if max(high for _, high in colours) >= DARK:  # type: ignore[misc]
        return image
    again.tile = [_low_bytes(tile) for tile in again.tile]  # type: ignore[attr-defined]
    values = np.asarray(image).astype(np.uint16) << 8 | np.asarray(again)  # (h, w, 3 or 4)
    for bands in (values[..., :3], values[..., 3:]):  # transparency may have a depth of its own
        if bands.size and bands.max():
            bands[...] = (bands * (255 / (2 ** _depth(int(bands.max())) - 1))).round()
    return Image.fromarray(values.astype(np.uint8), image.mode)


def _range(darkest: float, lightest: float, whole: bool) -> tuple[float, float]:
    """Return the values of black and white.

    Args:
        darkest: lowest value of the image.
        lightest: highest value of the image.
        whole: its values are whole numbers; fractions between 1 and a quarter of 255 belong to no known depth.
    """
    if darkest >= 0 and not whole and lightest <= 1:
        return 0.0, 1.0
    if darkest >= 0 and lightest <= 65535 and (whole or lightest >= 64):
        return 0.0, 2.0 ** _depth(int(lightest)) - 1
    return darkest, max(lightest, darkest + 1e-12)  # a range of its own, as scientific files have


def _depth(highest: int) -> int:
    """Return how many bits an image has whose highest value it is."""
    return next(bits for bits in DEPTHS if highest < 2**bits)


def _strips(image: Image.Image) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the upper edge and the finite values (rows, w) of each strip of an image of one band."""
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        yield top, np.nan_to_num(np.asarray(strip, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _raw_mode(tile: object) -> str:
    args = getattr(tile, "args", "")
    return str(args[0]) if isinstance(args, tuple) and args else str(args)


def _low_bytes(tile: object) -> object:
    """Return a tile that decodes the lower byte of each sample: with the other byte order, it stands first."""
    raw = _raw_mode(tile)
    swapped = raw[:-1] + _SWAPPED[raw[-1]]
    args = tile.args  # type: ignore[attr-defined]
    return tile._replace(args=(swapped, *args[1:]) if isinstance(args, tuple) else swapped)  # type: ignore[attr-defined]
