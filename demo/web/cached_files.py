"""Images for the browser: as files in Gradio's cache, or as data URLs inside the page."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

from gradio.processing_utils import hash_bytes
from gradio.utils import get_upload_folder
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from demo.server.sessions import claim
from mmdiff_core.atomic_files import atomic_file, named_disk_errors
from mmdiff_core.encoders.photo import DECODING_ERRORS
from mmdiff_core.output.export import png_info
from mmdiff_core.output.image_grid import image_grid
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import MAX_STEPS

MAPS_CHUNK = "mmdiff-maps"  # of a PNG: an npz of its maps, averaged, in base64
FRAMES_CHUNK = "frames"
TOYS_CHUNK = "mmdiff-toys"  # of a PNG: the toy of each subject, as links write it; empty for other photos
HEATMAP_CHUNK = "Heatmap"
COMPARISON_CHUNK = "mmdiff-compare"  # what the Compare tab was asked for, as JSON
DRAWN_CHUNKS = (
    HEATMAP_CHUNK,
    COMPARISON_CHUNK,
    "Upscaled",
)  # of a PNG that the browser drew anew
TOY = "toy"  # names the toy that a rendered photo shows, in its file: noun, seed, view
STRIP_SIDE = 64  # pixels of a preview at most
MEDIA_TYPES = {"png": "image/png", "webp": "image/webp", "gif": "image/gif", "zip": "application/zip"} | {
    "csv": "text/csv",
    "html": "text/html",
    "npz": "application/octet-stream",
}


class FileMeta(TypedDict):
    """Marks a record of a file for Gradio."""

    _type: Literal["gradio.FileData"]


class FileRecord(TypedDict):
    """A file in Gradio's cache, which Gradio gives a ``url``, in whatever component it stands."""

    path: str
    orig_name: str
    mime_type: str
    meta: FileMeta


class FilmStrip(TypedDict):
    """Previews side by side in one image, a data URL; ``w`` and ``h`` are the size of one."""

    image: str
    w: int
    h: int


def picture_file(picture: GeneratedImage, maps: bytes = b"", toys: Sequence[str] = ()) -> FileRecord:
    """Write a finished picture as a PNG with its settings inside, an npz of its maps, and the toys that it shows."""
    info = png_info(picture.settings)
    if maps:
        info.add_text(MAPS_CHUNK, base64.b64encode(maps).decode())
    if any(toys):
        info.add_text(TOYS_CHUNK, json.dumps(list(toys)))
    return cached_file(_png(picture.image, info), f"mm-diff-{picture.seed}.png")


def photo_file(photo: Image.Image, name: str) -> FileRecord:
    """Write a photo as a PNG of that name."""
    return cached_file(_png(photo, _marked(photo)), name)


def photo_path(photo: Image.Image) -> str:
    """Write a photo as a PNG for a Gallery and return its path.

    Gradio would write an image itself again for every visitor with the same toy, while browsers are reading the file.
    """
    return cached_at(_png(photo, _marked(photo)), "photo.png")


def cached_file(data: bytes, name: str) -> FileRecord:
    """Write a file into Gradio's cache."""
    media_type = MEDIA_TYPES[name.rsplit(".", 1)[-1]]
    meta: FileMeta = {"_type": "gradio.FileData"}
    return {"path": cached_at(data, name), "orig_name": name, "mime_type": media_type, "meta": meta}


def cached_at(data: bytes, name: str) -> str:
    """Write into Gradio's cache, in a folder named after the contents, and return the path.

    An existing file is left as it is: a browser may be reading it.
    """
    path = Path(get_upload_folder()).resolve() / hash_bytes(data) / name
    claim(path)  # first, so that no sweep removes it
    with named_disk_errors(name):
        if path.exists():
            path.touch()  # as young as a new one, for programs, which claim nothing
        else:
            with atomic_file(path, name) as temporary:
                temporary.write_bytes(data)
    return str(path)


def data_url(picture: Image.Image) -> str:
    """Return a small image as a data URL of a JPEG."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def film_strip(frames: Sequence[Image.Image]) -> FilmStrip | None:
    """Put previews of one size side by side into one small image; None where there are none."""
    if not frames:
        return None
    frame = frames[0].copy()
    frame.thumbnail((STRIP_SIDE, STRIP_SIDE))
    w, h = frame.size
    small = [frame.convert("RGB").resize((w, h), Image.Resampling.BOX) for frame in frames]
    return {"image": data_url(image_grid([small], gap=0)), "w": w, "h": h}


def previews_png(frames: Sequence[Image.Image]) -> bytes:
    """Put the previews of a picture's steps side by side into one PNG that knows how many they are."""
    info = PngInfo()
    info.add_text(FRAMES_CHUNK, str(len(frames)))
    return _png(image_grid([[frame.convert("RGB").resize(frames[0].size) for frame in frames]], gap=0), info)


def read_previews(data: bytes) -> tuple[Image.Image, ...]:
    """Return the previews of :func:`previews_png`; none where it is something else."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            sheet, count = opened.convert("RGB"), int(opened.info.get(FRAMES_CHUNK, 0))
    except (Image.DecompressionBombError, ValueError, *DECODING_ERRORS):
        return ()
    if not 1 <= count <= min(MAX_STEPS, sheet.width):
        return ()
    width = sheet.width // count
    return tuple(sheet.crop((at * width, 0, (at + 1) * width, sheet.height)) for at in range(count))


def _marked(photo: Image.Image) -> PngInfo:
    """Keep what a photo says about the toy in it."""
    info = PngInfo()
    if TOY in photo.info:
        info.add_text(TOY, str(photo.info[TOY]))
    return info


def _png(picture: Image.Image, info: PngInfo | None = None) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
