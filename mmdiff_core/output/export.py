"""Finished images as files that contain their own settings."""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from mmdiff_core.atomic_files import atomic_file
from mmdiff_core.encoders.name_matching import distinct_names
from mmdiff_core.errors import PhotoError
from mmdiff_core.maps.attention_maps import AttentionMaps
from mmdiff_core.maps.heatmap import SUBJECT_COLOURS, HeatmapStyle, colour_of, is_flat, overlay_maps
from mmdiff_core.output.figures import encode_figure, overview_figure, steps_figure
from mmdiff_core.output.image_grid import enlarged_to
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import MapKind

SETTINGS_CHUNK = "mmdiff"  # everything, as JSON
OVERLAY_SIDE = 384  # pixels of an overlay's longer side at least
PARAMETERS_CHUNK = "parameters"  # the text that other programs for images read


def png_info(settings: Mapping[str, object]) -> PngInfo:
    """Return settings as the text chunks of a PNG."""
    info = PngInfo()
    info.add_itxt(SETTINGS_CHUNK, json.dumps(settings, ensure_ascii=False))
    info.add_itxt(PARAMETERS_CHUNK, parameters_line(settings))
    return info


def parameters_line(settings: Mapping[str, object]) -> str:
    """Return prompt, negative prompt and numbers in the usual layout of the ``parameters`` chunk."""
    numbers = {
        "Steps": settings["steps"],
        "CFG scale": settings["guidance"],
        "Seed": settings["seed"],
        "Size": f"{settings['width']}x{settings['height']}",
        **({"Denoising strength": settings["image_strength"]} if "image_strength" in settings else {}),
        "Model": settings["model"],
    }
    lines = [str(settings["prompt"])]
    if settings["negative_prompt"]:
        lines.append(f"Negative prompt: {settings['negative_prompt']}")
    lines.append(", ".join(f"{name}: {value}" for name, value in numbers.items()))
    return "\n".join(lines)


def read_settings(path: str | PathLike[str]) -> dict[str, object]:
    """Return the settings inside an image that this program saved.

    Raises:
        PhotoError: the file is no image, or one without settings.
    """
    name = Path(path).name
    try:
        with Image.open(path) as image:
            text = image.info.get(SETTINGS_CHUNK)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise PhotoError(f'"{name}" cannot be opened as an image: choose a PNG that this program saved.') from error
    try:
        settings = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise PhotoError(
            f'"{name}" carries no settings: choose a PNG as this program saved it, not a copy from another program.'
        )
    return settings


def informative_kind(maps: AttentionMaps) -> MapKind:
    """Return the first kind of map that is not flat for every subject: image, influence or text; else words.

    The image map of a single subject is flat without a null token, and only the text map has values where no step saw
    the photos.
    """
    if not maps.subjects:
        return "words"
    kinds: tuple[MapKind, ...] = ("image", "influence", "text")
    recorded = [kind for kind in kinds if kind in maps.kinds]
    subjects = range(len(maps.subjects))
    return next((kind for kind in recorded if not all(is_flat(maps.at(s, kind)) for s in subjects)), recorded[0])


def write_image(
    generated: GeneratedImage,
    folder: Path,
    stem: str,
    kind: MapKind | None = None,
    colours: Sequence[str] | None = None,
    style: HeatmapStyle = SUBJECT_COLOURS,
) -> list[Path]:
    """Write ``<stem>.png`` and, if there are maps, an overlay per subject and ``<stem>_maps.npz``.

    Each photo that was recorded by itself has an overlay, too. Overlays have at least ``OVERLAY_SIDE`` pixels a side,
    so that their outlines are fine, and carry the settings.

    Args:
        generated: a finished image.
        folder: an existing folder; files of the same name are replaced.
        stem: the start of every file's name.
        kind: the kind of map in the overlays; None: the one of :func:`informative_kind`.
        colours: one per subject, ``#RRGGBB``; by default those of the palette.
        style: how the overlays are drawn.

    Returns:
        The files, the image first.

    Raises:
        WritingError: the disk is full or cannot be written; no file is incomplete.
    """
    files = [folder / f"{stem}.png"]
    with atomic_file(files[0]) as temp_file:
        generated.image.save(temp_file, pnginfo=png_info(generated.settings))
    if generated.maps is not None and generated.maps.records:
        kind, large = kind or informative_kind(generated.maps), enlarged_to(generated.image, OVERLAY_SIDE)
        for index, name in enumerate(distinct_names([word.text for word in generated.words])):
            files.append(folder / f"{stem}_{index + 1}_{file_part(name)}.png")
            colour = colours[index] if colours else colour_of(index)
            with atomic_file(files[-1]) as temp_file:
                drawn = overlay_maps(large, [generated.maps.at(index, kind)], [colour], style)
                drawn.save(temp_file, pnginfo=png_info(generated.settings))
            for photo in (p for s, p in generated.maps.photos if s == index):
                files.append(files[-1].with_name(f"{stem}_{index + 1}_{file_part(name)}_photo{photo + 1}.png"))
                with atomic_file(files[-1]) as temp_file:
                    drawn = overlay_maps(large, [generated.maps.photo_at(index, photo)], [colour], style)
                    drawn.save(temp_file, pnginfo=png_info(generated.settings))
        files.append(folder / f"{stem}_maps.npz")
        with atomic_file(files[-1]) as temp_file:
            generated.maps.to_npz(temp_file)
    return files


def archive(
    generated: GeneratedImage,
    previews: Sequence[Image.Image] = (),
    kind: MapKind = "image",
    colours: Sequence[str] | None = None,
    notes: Mapping[str, str | bytes] | None = None,
    style: HeatmapStyle = SUBJECT_COLOURS,
) -> bytes:
    """Return everything about an image as one zip file.

    It contains what :func:`write_image` writes, ``settings.json`` and, if there are maps, two figures, each as PDF and
    PNG: ``figure`` with the maps averaged over the steps, and ``steps`` with the maps of single steps.

    Args:
        generated: a finished image.
        previews: one per step, for the figure of the steps.
        kind: the kind of map in overlays and figures.
        colours: one per subject, ``#RRGGBB``; by default those of the palette.
        notes: further files, their contents by name.
        style: how the overlays are drawn.
    """
    buffer = io.BytesIO()
    settings = json.dumps(generated.settings, indent=2, ensure_ascii=False) + "\n"
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed, tempfile.TemporaryDirectory() as folder:
        for file in write_image(generated, Path(folder), f"mm-diff-{generated.seed}", kind, colours, style):
            packed.write(file, file.name)
        for name, text in {"settings.json": settings, **(notes or {})}.items():
            packed.writestr(name, text)
        if generated.maps is not None and generated.maps.records:
            figures = {"figure": overview_figure(generated, kind), "steps": steps_figure(generated, previews, kind)}
            for name, figure in figures.items():
                for suffix in ("pdf", "png"):
                    packed.writestr(f"{name}.{suffix}", encode_figure(figure, suffix))
    return buffer.getvalue()


def file_part(text: str) -> str:
    """Return text as a part of a file name that every system accepts."""
    return re.sub(r"[^\w-]+", "-", text).strip("-")[:40].lower() or "subject"
