"""Finished pictures as files that carry their own settings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mmdiff_core.errors import PhotoError
from mmdiff_core.heatmap import colour_of, overlay
from mmdiff_core.types import Picture, Stream

SETTINGS_CHUNK = "mmdiff"  # everything, as JSON
PARAMETERS_CHUNK = "parameters"  # the line that other programs for pictures read


def png_info(settings: Mapping[str, object]) -> PngInfo:
    """Settings as the text chunks of a PNG."""
    info = PngInfo()
    info.add_itxt(SETTINGS_CHUNK, json.dumps(settings, ensure_ascii=False))
    info.add_itxt(PARAMETERS_CHUNK, parameters_line(settings))
    return info


def parameters_line(settings: Mapping[str, object]) -> str:
    """Prompt, negative prompt and numbers in the layout that is usual in the ``parameters`` chunk."""
    numbers = {
        "Steps": settings["steps"],
        "CFG scale": settings["guidance"],
        "Seed": settings["seed"],
        "Size": f"{settings['width']}x{settings['height']}",
        "Model": settings["model"],
    }
    lines = [str(settings["prompt"])]
    if settings["negative_prompt"]:
        lines.append(f"Negative prompt: {settings['negative_prompt']}")
    lines.append(", ".join(f"{name}: {value}" for name, value in numbers.items()))
    return "\n".join(lines)


def read_settings(path: str | PathLike[str]) -> dict[str, object]:
    """The settings inside a picture that this program made.

    Raises:
        PhotoError: the picture has none.
    """
    with Image.open(path) as image:
        text = image.info.get(SETTINGS_CHUNK)
    if text is None:
        raise PhotoError(f'The picture "{path}" was not made by this program: it carries no settings.')
    return json.loads(text)


def write_picture(picture: Picture, folder: Path, stem: str, stream: Stream = "image") -> list[Path]:
    """Write ``<stem>.png``, an overlay per subject and, if there are maps, ``<stem>_maps.npz``.

    Args:
        picture: a finished picture.
        folder: an existing folder; files of the same name are replaced.
        stem: start of every file's name.
        stream: the kind of map that the overlays show.

    Returns:
        The files, the picture first.
    """
    files = [folder / f"{stem}.png"]
    picture.image.save(files[0], pnginfo=png_info(picture.settings))
    if picture.maps is not None and picture.maps.records:
        for index, word in enumerate(picture.words):
            files.append(folder / f"{stem}_{index + 1}_{_slug(word.text)}.png")
            overlay(picture.image, picture.maps.at(index, stream), colour_of(index)).save(files[-1])
        files.append(folder / f"{stem}_maps.npz")
        picture.maps.to_npz(files[-1])
    return files


def _slug(text: str) -> str:
    """A part of a file name that every system takes."""
    return re.sub(r"[^\w-]+", "-", text).strip("-")[:40].lower() or "subject"
