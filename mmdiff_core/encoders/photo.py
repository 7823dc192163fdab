"""Photos as people have them: turned, transparent, 16-bit, CMYK, animated, broken."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from os import PathLike
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from mmdiff_core.encoders.bit_depth import is_deep_colour, scale_colour, scale_gray
from mmdiff_core.encoders.photo_formats import choose_frame, is_heic, is_transparent, open_photo
from mmdiff_core.errors import PhotoError
from mmdiff_core.nn.config import PhotoFit
from mmdiff_core.types import Photo

logger = logging.getLogger(__name__)

MAX_PIXELS = 110_000_000  # 12,000 x 9,000, the largest that phones take, and a little more
MIN_SIDE = 8
MAX_SIDE = 1024  # the image encoder reads a fraction of this; more would only fill memory
# What Pillow raises on broken data, by way of its own readers and of what they read with.
DECODING_ERRORS = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, ArithmeticError, TypeError, AttributeError),
    *(MemoryError, RuntimeError, struct.error, zlib.error),
)
NEUTRAL = (127, 127, 127)  # ground under transparent parts


def load_photo(source: str | PathLike[str] | Image.Image, name: str | None = None) -> Image.Image:
    """Load an upright RGB photo with sides of at most 1024 pixels.

    It is turned as its EXIF says, CMYK and more than 8 bits become 8-bit RGB, colours of another profile (Display P3,
    Adobe RGB) become sRGB, and transparency lies over a neutral grey. Of an animation, it is the first frame that shows
    something. The file's name and suffix do not matter.

    Args:
        source: a file or an image that is open already.
        name: what messages call the photo; the file's name by default.

    Raises:
        PhotoError: the file is missing, empty, corrupt, truncated, not an image, too large or too small, or completely
            transparent.
    """
    if isinstance(source, Image.Image):
        return _upright_rgb(source, name or "The photo")
    path = Path(source)
    if not path.is_file():
        if name is None:
            raise PhotoError(f'The photo "{path.name}" is not there: no file "{path}".')
        raise PhotoError(f'The photo "{name}" is not there any more: give it again.')
    name = name or path.name
    if path.stat().st_size == 0:
        raise PhotoError(f'The photo "{name}" is an empty file.')
    try:
        with open_photo(path) as image:
            return _upright_rgb(image, name, path)
    except PhotoError:
        raise
    except DECODING_ERRORS as error:  # before there is an image at all
        if is_heic(path):
            raise PhotoError(f'"{name}" is a HEIC photo that cannot be read: export it as JPEG.') from error
        raise PhotoError(f'"{name}" is not a picture that can be read (use JPEG, PNG, HEIC, WebP or TIFF).') from error
    except Image.DecompressionBombError as error:
        raise PhotoError(_too_large(name)) from error


def read_photo(photo: Photo, name: str) -> Photo:
    """Return an image as :func:`load_photo` makes it, or pixels as they are.

    Args:
        photo: an image, or (3, h, w) floating point.
        name: what messages call it.

    Raises:
        PhotoError: as ``load_photo``, or the pixels have another shape or type, or are not finite.
    """
    if not isinstance(photo, Tensor):
        return load_photo(photo, name)
    if photo.ndim != 3 or len(photo) != 3 or not photo.is_floating_point() or photo.numel() == 0:
        shape = " x ".join(map(str, photo.shape))
        raise PhotoError(
            f'The photo "{name}" must be floats of shape 3 x height x width, but is {shape} {photo.dtype}.'
        )
    if not photo.isfinite().all():
        raise PhotoError(f'The photo "{name}" holds values that are no finite numbers: use another.')
    return photo


def as_image(photo: Photo) -> Image.Image:
    """Return the photo as an image to show or save; pixels are clamped and rounded to 8 bits."""
    if not isinstance(photo, Tensor):
        return photo
    values = (photo.detach().cpu().float().clamp(0, 1) * 255).round().byte()
    return Image.fromarray(values.permute(1, 2, 0).numpy())


def _upright_rgb(image: Image.Image, name: str, path: Path | None = None) -> Image.Image:
    """Check the size before any pixel is decoded, then decode, turn, flatten and shrink.

    Args:
        image: not decoded, if it comes from a file.
        name: what messages call it.
        path: the file.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PhotoError(_too_large(name))
    if min(width, height) < MIN_SIDE:
        raise PhotoError(f'The photo "{name}" is only {width} x {height} pixels: use a larger one.')
    if min(width, height) * MAX_SIDE < MIN_SIDE * max(width, height):  # nothing would be left of it
        raise PhotoError(f'The photo "{name}" is a strip of {width} x {height} pixels: cut its subject out.')
    try:
        choose_frame(image)
        declared = 16 if image.format == "PPM" and image.mode == "I" else None  # which Pillow has scaled by its header
        image = _decoded(image, path)
        profile = image.info.get("icc_profile")
        image = _eight_bit(ImageOps.exif_transpose(image), declared)
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)  # first: what follows needs several copies
        image = _in_srgb(image, profile)
    except DECODING_ERRORS as error:
        raise PhotoError(f'The photo "{name}" is damaged and cannot be read: save it anew or use another.') from error
    if is_transparent(image):
        raise PhotoError(f'The photo "{name}" is completely transparent: use one that shows something.')
    return _without_transparency(image)


def _decoded(image: Image.Image, path: Path | None) -> Image.Image:
    """Decode the pixels of a file: huge JPEGs at a fraction of their size, 16-bit colours by the bits that are used."""
    if image.format in ("JPEG", "MPO"):
        image.draft(image.mode, (2 * MAX_SIDE, 2 * MAX_SIDE))
    deep = is_deep_colour(image)
    image.load()
    if path is None or not deep:
        return image
    with open_photo(path) as again:
        image.paste(scale_colour(image, again))
    return image


def _eight_bit(image: Image.Image, depth: int | None = None) -> Image.Image:
    """Convert any mode to L, RGB, RGBA or CMYK of 8 bits, which can be shrunk."""
    if image.mode.startswith(("I", "F")):
        return scale_gray(image, depth)
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert a photo of L, RGB, RGBA or CMYK to sRGB; a broken or unfitting profile is ignored."""
    if not profile:
        return image
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, own, srgb, outputMode=mode) or image
    except (ImageCms.PyCMSError, *DECODING_ERRORS):
        return image


def _without_transparency(image: Image.Image) -> Image.Image:
    """Return RGB, with transparent pixels over a neutral grey."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, (*NEUTRAL, 255))
    return Image.alpha_composite(ground, image).convert("RGB")


def _too_large(name: str) -> str:
    return f'The photo "{name}" has more than {MAX_PIXELS // 1_000_000} million pixels: use a smaller one.'


def pad_to_square(photo: Image.Image, size: int) -> Image.Image:
    """Centre the whole photo on a black square of ``size`` pixels a side; nothing is cropped."""
    side = max(photo.size)
    ground = Image.new("RGB", (side, side))
    ground.paste(photo, ((side - photo.width) // 2, (side - photo.height) // 2))
    return ground.resize((size, size), Image.Resampling.BILINEAR)


def cut_to_square(photo: Image.Image, size: int) -> Image.Image:
    """Shrink or enlarge the shorter side to ``size`` pixels and cut the middle out, as CLIP was trained."""
    shorter = min(photo.size)
    width, height = (size if side == shorter else size * side // shorter for side in photo.size)
    left, top = (width - size) // 2, (height - size) // 2
    fitted = photo.resize((width, height), Image.Resampling.BICUBIC)
    return fitted.crop((left, top, left + size, top + size))


def prepare_photo(photo: Photo, size: int, fit: PhotoFit = "pad") -> Tensor:
    """Return a photo as the image encoder takes it: (3, size, size) float32 in [0, 1].

    An image becomes a square as ``fit`` says; pixels are resized as they are, as the official code does.
    """
    if isinstance(photo, Tensor):
        return resize(photo.detach().cpu().float()[None], size)[0]
    square = pad_to_square(photo, size) if fit == "pad" else cut_to_square(photo, size)
    pixels = np.asarray(square, dtype=np.float32) / 255  # (size, size, 3)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def resize(pixels: Tensor, size: int) -> Tensor:
    """Resize (n, 3, h, w) to (n, 3, size, size), antialiased; a tensor of that size is returned as it is."""
    if pixels.shape[-2:] == (size, size):
        return pixels
    return F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
