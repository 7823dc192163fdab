"""Finished pictures as files that carry their own settings."""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from mmdiff_core.atomic_files import atomic_file
from mmdiff_core.errors import PhotoError
from mmdiff_core.maps.attention_maps import AttentionMaps
from mmdiff_core.maps.heatmap import colour_of, overlay
from mmdiff_core.output.figures import overview_figure, rendered, steps_figure
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import MapKind

SETTINGS_CHUNK = "mmdiff"  # everything, as JSON
FLAT = 1e-4  # of a share of attention
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
        PhotoError: the file is no picture, or one that carries no settings.
    """
    name = Path(path).name
    try:
        with Image.open(path) as image:
            text = image.info.get(SETTINGS_CHUNK)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise PhotoError(f'"{name}" cannot be opened as a picture: choose a PNG that this program saved.') from error
    try:
        settings = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise PhotoError(
            f'"{name}" carries no settings: choose a PNG as this program saved it, not a copy that another one made.'
        )
    return settings


def telling_stream(maps: AttentionMaps) -> MapKind:
    """The first kind of map that differs from pixel to pixel for some subject: image, influence or text.

    The image map of a single subject does not without a null token, and the first two are nothing where no step saw
    the photos.
    """
    kinds: tuple[MapKind, ...] = ("image", "influence", "text")
    recorded = [kind for kind in kinds if kind in maps.kinds]
    subjects = range(len(maps.subjects))
    telling = (kind for kind in recorded if any(float(np.ptp(maps.at(s, kind))) > FLAT for s in subjects))
    return next(telling, recorded[0])


def write_picture(
    picture: GeneratedImage, folder: Path, stem: str, kind: MapKind | None = None, colours: Sequence[str] | None = None
) -> list[Path]:
    """Write ``<stem>.png``, an overlay per subject and, if there are maps, ``<stem>_maps.npz``.

    Args:
        picture: a finished picture.
        folder: an existing folder; files of the same name are replaced.
        stem: start of every file's name.
        stream: the kind of map that the overlays show; None: of :func:`telling_stream`.
        colours: one per subject, ``#RRGGBB``; by default those of the palette.

    Returns:
        The files, the picture first.

    Raises:
        WritingError: the disk is full or cannot be written; no file is left half.
    """
    files = [folder / f"{stem}.png"]
    with atomic_file(files[0]) as aside:
        picture.image.save(aside, pnginfo=png_info(picture.settings))
    if picture.maps is not None and picture.maps.records:
        kind = kind or telling_stream(picture.maps)
        for index, word in enumerate(picture.words):
            files.append(folder / f"{stem}_{index + 1}_{_slug(word.text)}.png")
            colour = colours[index] if colours else colour_of(index)
            with atomic_file(files[-1]) as aside:
                overlay(picture.image, picture.maps.at(index, kind), colour).save(aside)
        files.append(folder / f"{stem}_maps.npz")
        with atomic_file(files[-1]) as aside:
            picture.maps.to_npz(aside)
    return files


def archive(
    picture: GeneratedImage,
    previews: Sequence[Image.Image] = (),
    kind: MapKind = "image",
    colours: Sequence[str] | None = None,
    notes: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """Everything about a picture in one zip.

    That is what :func:`write_picture` writes, ``settings.json`` and, if there are maps, two figures, each as PDF and
    PNG: ``figure`` with the maps over all steps and ``steps`` with how they came to be.

    Args:
        picture: a finished picture.
        previews: one per step, for the figure of the steps.
        stream: the kind of map that overlays and figures show.
        colours: one per subject, ``#RRGGBB``; by default those of the palette.
        notes: further files, their contents by name.
    """
    buffer = io.BytesIO()
    settings = json.dumps(picture.settings, indent=2, ensure_ascii=False) + "\n"
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed, tempfile.TemporaryDirectory() as folder:
        for file in write_picture(picture, Path(folder), f"mm-diff-{picture.seed}", kind, colours):
            packed.write(file, file.name)
        for name, text in {"settings.json": settings, **(notes or {})}.items():
            packed.writestr(name, text)
        if picture.maps is not None and picture.maps.records:
            figures = {"figure": overview_figure(picture, kind), "steps": steps_figure(picture, previews, kind)}
            for name, figure in figures.items():
                for suffix in ("pdf", "png"):
                    packed.writestr(f"{name}.{suffix}", rendered(figure, suffix))
    return buffer.getvalue()


def _slug(text: str) -> str:
    """A part of a file name that every system takes."""
    return re.sub(r"[^\w-]+", "-", text).strip("-")[:40].lower() or "subject"
