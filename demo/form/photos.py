"""Photos as they arrive: those that cannot be read are rejected, and the others are shown as the model sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gradio.utils import get_upload_folder, is_in_or_equal
from PIL import Image

from demo.server.photo_files import PhotoFiles
from demo.server.sessions import claim
from demo.web.cached_files import data_url, photo_path
from mmdiff_core.encoders.photo import pad_to_square
from mmdiff_core.encoders.photo_formats import open_photo
from mmdiff_core.errors import PhotoError

SHOWN_BY_BROWSERS = {  # a suffix, by which the file is served, and what may be behind it
    **dict.fromkeys((".jpg", ".jpeg"), ("JPEG", "MPO")),
    ".png": ("PNG",),
    ".webp": ("WEBP",),
    ".gif": ("GIF",),
    ".bmp": ("BMP",),
    ".avif": ("AVIF",),
}

GalleryValue = Sequence[tuple[str, str | None]] | None  # of a Gallery: path, caption
Photos = Sequence[str | Image.Image]  # files, or images that were just rendered


def check_photos(photos: GalleryValue, photo_files: PhotoFiles) -> tuple[list[str], tuple[str, ...]]:
    """Return the photos that can be read, and a sentence about each of the others.

    Photos that browsers do not show, by their format or by their name, become PNGs.
    """
    kept: list[str] = []
    rejected: list[str] = []
    claim(*(path for path, _ in photos or ()))
    for path, _ in photos or ():
        try:
            image = photo_files.load(path)
        except PhotoError as error:
            rejected.append(f"Left out: {error}")
        else:
            kept.append(path if _is_shown_by_browsers(Path(path)) else photo_path(image))
    return kept, tuple(rejected)


def still_cached(paths: Sequence[str], photo_files: PhotoFiles) -> tuple[list[str], tuple[str, ...]]:
    """Return those of a browser's photos that the server still has, and a sentence about the others.

    The browser names the files, so only uploads count: nothing else on the server may be shown.
    """
    folder = get_upload_folder()
    uploads = [path for path in paths if is_in_or_equal(path, folder) and Path(path).is_file()]
    kept = [path for path in uploads if _readable(path, photo_files)]
    claim(*kept)
    return kept, _lost(len(paths) - len(kept))


def _lost(count: int) -> tuple[str, ...]:
    """Return a sentence about photos that the server no longer has; none about none."""
    if count == 1:
        return ("1 photo is no longer on the server: drop it again.",)
    return (f"{count} photos are no longer on the server: drop them again.",) if count else ()


def prepared_html(photos: Photos, side: int, photo_files: PhotoFiles, slot: int = 0, shown: int = 96) -> str:
    """Return HTML of each photo as the image encoder takes it, ``side`` pixels a side; empty where there is none.

    Each is a button that opens the cut-out dialog with its photo (cutout_dialog.js). It is labelled in the browser
    (subject_card.js): Gradio translates only the first text of a component's markup.
    """
    figures = []
    for number, photo in enumerate(photos, 1):
        try:
            image = pad_to_square(photo_files.load(photo), side)
        except PhotoError:
            continue  # its error stands beside the photos
        image.thumbnail((shown, shown), Image.Resampling.LANCZOS)
        picture = (
            f'<img src="{data_url(image)}" alt="" title="{side} × {side}"><b aria-hidden="true">✂</b><span></span>'
        )
        figures.append(f'<button type="button" data-cut="{slot},{number - 1}">{picture}</button>')
    return "".join(figures)


def _is_shown_by_browsers(path: Path) -> bool:
    with open_photo(path) as image:
        return image.format in SHOWN_BY_BROWSERS.get(path.suffix.lower(), ())


def _readable(path: str, photo_files: PhotoFiles) -> bool:
    try:
        photo_files.load(path)
    except PhotoError:
        return False
    return True
