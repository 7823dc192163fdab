"""Opens photos by their contents, whatever they are called, and chooses the frame of an animation."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError
from pillow_heif import HeifImageFile

HEIC_BRANDS = (
    *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"),
    *(b"MiHB", b"tmap"),  # Apple's scaled-down copies, and photos with a gain map
)
FORMATS = (
    "JPEG",  # MPO, several in one, among them
    "PNG",
    "WEBP",
    "GIF",
    "BMP",
    "DIB",
    "TIFF",
    "PPM",
    "AVIF",
    "ICO",
    "TGA",
)  # without PostScript: opening it runs a program; HEIF is opened by a library of its own
PHOTO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "pjpeg", "pjp", "mpo", "png", "apng", "webp", "gif", "bmp", "dib", "tif"),
        *("tiff", "ppm", "pgm", "avif", "ico", "tga", "heic", "heif", "hif"),
    )
)  # of files that count as photos when a folder is searched
ANIMATIONS = ("GIF", "WEBP", "PNG", "AVIF")  # the frames of other formats are pages, views and gain maps
SEARCHED_PIXELS = 100_000_000  # of an animation's frames


def open_photo(source: Path | IO[bytes]) -> Image.Image:
    """Open an image file, HEIC among others, without decoding its pixels.

    Raises:
        OSError, SyntaxError, ...: it cannot be opened; see ``DECODING_ERRORS`` in ``mmdiff_core.encoders.photo``.
    """
    head = _head(source)
    if head[4:8] != b"ftyp":
        return Image.open(source, formats=FORMATS)
    try:
        return Image.open(source, formats=("AVIF",))
    except UnidentifiedImageError:
        return HeifImageFile(source)  # type: ignore[no-untyped-call]


def is_heic(source: Path | IO[bytes]) -> bool:
    """Return whether a file claims to be a HEIC photo."""
    head = _head(source)
    return head[4:8] == b"ftyp" and head[8:] in HEIC_BRANDS


def choose_frame(image: Image.Image) -> None:
    """Move an animation to the first frame that shows something, and other files to their main image.

    Such a frame has more than one colour; if there is none, it is the first that is not completely transparent, else
    the very first. An APNG's default image, which browsers do not show, does not count.
    """
    if image.format not in ANIMATIONS or not getattr(image, "is_animated", False):
        if image.format != "HEIF":  # which is opened at its main image
            image.seek(0)
        return
    first = 1 if getattr(image, "default_image", False) else 0
    fallback, left = None, SEARCHED_PIXELS
    for frame in range(first, max(first + 1, getattr(image, "n_frames", 1))):
        image.seek(frame)
        colours = _colours(image)
        if colours > 1:
            return
        fallback = frame if fallback is None and colours else fallback
        left -= image.width * image.height
        if left < 0:
            break
    image.seek(first if fallback is None else fallback)


def is_transparent(image: Image.Image) -> bool:
    """Return whether nothing of an image can be seen."""
    return image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[1] == 0


def _colours(image: Image.Image) -> int:
    """Return 0 for a frame that is completely transparent, 1 for one of a single colour, else 2."""
    if is_transparent(image):
        return 0
    bands = image.convert("RGBA" if image.has_transparency_data else "RGB").getextrema()
    return 2 if any(low != high for low, high in bands) else 1  # type: ignore[misc]


def _head(source: Path | IO[bytes]) -> bytes:
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(12)
    head = source.read(12)
    source.seek(0)
    return head
