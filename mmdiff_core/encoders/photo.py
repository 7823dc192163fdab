"""Photos as people have them: turned, transparent, 16-bit, CMYK, animated, broken."""

from __future__ import annotations

import logging
import struct
import zlib
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from mmdiff_core.errors import PhotoError

logger = logging.getLogger(__name__)

MOST_PIXELS = 64_000_000
SMALLEST_SIDE = 8
KEPT_SIDE = 1024  # the image encoder reads a fraction of this; more would only fill memory
FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    "PPM",
    "AVIF",
    "ICO",
    "TGA",
)  # without PostScript: opening it runs a program
# What Pillow raises on broken data, by way of its own readers and of what they read with.
BROKEN = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, ArithmeticError, TypeError, AttributeError),
    *(MemoryError, NotImplementedError, struct.error, zlib.error),
)
NEUTRAL = (127, 127, 127)  # ground under transparent parts


def load_photo(source: str | PathLike[str] | Image.Image, name: str | None = None) -> Image.Image:
    """An upright RGB photo with sides of at most 1024 pixels.

    Turned as its EXIF says, transparency over a neutral grey, 16-bit and CMYK brought to 8-bit RGB, the first frame
    of an animation.

    Args:
        source: a file or an image that is open already.
        name: what messages call the photo; the file's name by default.

    Raises:
        PhotoError: the file is missing, empty, corrupt, truncated, not a picture, too large or too small.
    """
    if isinstance(source, Image.Image):
        return _upright_rgb(source, name or "The photo")
    path = Path(source)
    if not path.is_file():
        where = f': no file "{path}"' if name is None else " any more: give it again"
        raise PhotoError(f'The photo "{name or path.name}" is not there{where}.')
    name = name or path.name
    if path.stat().st_size == 0:
        raise PhotoError(f'The photo "{name}" is an empty file.')
    try:
        with Image.open(path, formats=FORMATS) as image:
            return _upright_rgb(image, name)
    except PhotoError:
        raise
    except BROKEN as error:  # before there is an image at all
        raise PhotoError(f'"{name}" is not a picture that can be read (use JPEG, PNG, WebP, GIF or TIFF).') from error
    except Image.DecompressionBombError as error:
        raise PhotoError(_too_large(name)) from error


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """Check the size before any pixel is decoded, then decode, turn, flatten and shrink."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise PhotoError(_too_large(name))
    if min(width, height) < SMALLEST_SIDE:
        raise PhotoError(f'The photo "{name}" is only {width} x {height} pixels: use a larger one.')
    try:
        image.seek(0)
        image.load()
        image = ImageOps.exif_transpose(image)
        image = _to_rgb(image)
    except BROKEN as error:
        raise PhotoError(f'The photo "{name}" is damaged and cannot be read: save it anew or use another.') from error
    image.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    """A new 8-bit RGB image from any mode."""
    if image.mode.startswith(("I", "F")):
        return _eight_bit(image).convert("RGB")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (*NEUTRAL, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Gray pictures with more than 8 bits a pixel: scaled, where Pillow's own conversion would clip them to white."""
    values = np.asarray(image, dtype=np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    most = 65535 if image.mode.startswith("I") else 1
    if values.max() > most or values.min() < 0:  # a range of its own, as scientific files have
        values = values - values.min()
        most = max(values.max(), 1e-12)
    return Image.fromarray((values * (255 / most)).round().astype(np.uint8))


def _too_large(name: str) -> str:
    return f'The photo "{name}" has more than {MOST_PIXELS // 1_000_000} million pixels: use a smaller one.'


def square(photo: Image.Image, size: int) -> Image.Image:
    """The whole photo on a black square of ``size`` pixels a side, centred; nothing is cropped away."""
    side = max(photo.size)
    ground = Image.new("RGB", (side, side))
    ground.paste(photo, ((side - photo.width) // 2, (side - photo.height) // 2))
    return ground.resize((size, size), Image.Resampling.BILINEAR)


def prepare(photo: Image.Image, size: int) -> Tensor:
    """A photo as the image encoder takes it: (3, size, size) float32 in [0, 1], padded to a square."""
    pixels = np.asarray(square(photo, size), dtype=np.float32) / 255  # (size, size, 3)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
