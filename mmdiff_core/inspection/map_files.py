"""Token maps as files: overlays with a legend, a figure, the numbers, and a page that can be mailed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from mmdiff_core.atomic_files import atomic_file, write_text
from mmdiff_core.inspection.html_report import html_report
from mmdiff_core.inspection.report_texts import REPORT_TEXTS, ReportTexts
from mmdiff_core.inspection.token_maps import SCALE_NAMES, Scale, TokenMaps
from mmdiff_core.maps.heatmap import HeatmapStyle, colour_of, is_flat, overlay_maps
from mmdiff_core.output.export import OVERLAY_SIDE, file_part
from mmdiff_core.output.figures import encode_figure, panel_figure, rows_figure, shown_steps
from mmdiff_core.output.image_grid import Line, enlarged_to, image_grid, text_block

BAR_HEIGHT = 12  # pixels of a legend's colours
_TOP_PERCENTILE = 99.0  # that an overlay shows in its full colour; see heatmap.normalise


def write_token_maps(
    image: Image.Image,
    maps: TokenMaps,
    folder: Path,
    stem: str,
    names: Sequence[str] | None = None,
    scale: Scale = "share",
    texts: ReportTexts = REPORT_TEXTS,
) -> list[Path]:
    """Write what was recorded of an image.

    ``<stem>_<number>_<word>.png`` is an overlay with a legend, one for each name; ``<stem>_figure.pdf`` shows them all,
    and ``<stem>_steps.pdf`` step by step;
    ``<stem>_maps.npz`` holds every number (see :meth:`TokenMaps.to_npz`), and ``<stem>_report.html`` is a page of
    its own that needs no server and no network.

    Args:
        image: the image.
        maps: of it, of at least one step.
        folder: an existing folder; files of the same name are replaced.
        stem: the start of every file's name.
        names: of ``maps.names``, or others that ``maps.at`` knows; None: all of ``maps.names``.
        scale: of overlays and figure.
        texts: of the report.

    Returns:
        The files.

    Raises:
        PromptError: there is no such word.
        WritingError: the disk is full or cannot be written; no file is incomplete.
    """
    asked = dict(maps.names) if names is None else {name: maps.names.get(name, name) for name in names}
    values = {label: maps.at(name, scale=scale) for label, name in asked.items()}
    large, files = enlarged_to(image, OVERLAY_SIDE), list[Path]()
    for index, (label, drawn) in enumerate(values.items()):
        files.append(folder / f"{stem}_{index + 1}_{file_part(label)}.png")
        with atomic_file(files[-1]) as temp_file:
            overlay_with_legend(large, drawn, label, scale, colour_of(index)).save(temp_file)
    for kind, draw in (("figure", token_figure), ("steps", token_steps_figure)):
        files.append(folder / f"{stem}_{kind}.pdf")
        with atomic_file(files[-1]) as temp_file:
            temp_file.write_bytes(encode_figure(draw(image, maps, list(values), scale), "pdf"))
    files.append(folder / f"{stem}_maps.npz")
    with atomic_file(files[-1]) as temp_file:
        maps.to_npz(temp_file)
    files.append(folder / f"{stem}_report.html")
    write_text(files[-1], html_report(image, maps, scale, texts))
    return files


def token_figure(
    image: Image.Image, maps: TokenMaps, names: Sequence[str] | None = None, scale: Scale = "share"
) -> Figure:
    """Draw an image, and next to it the map of each name on its own scale; args as :func:`write_token_maps`."""
    labels = list(maps.names) if names is None else list(names)
    panels = {label: maps.at(maps.names.get(label, label), scale=scale) for label in labels}
    return panel_figure(image, SCALE_NAMES[scale], panels, columns=min(4, len(panels) + 1))


def token_steps_figure(
    image: Image.Image, maps: TokenMaps, names: Sequence[str] | None = None, scale: Scale = "share"
) -> Figure:
    """Draw the map of each name at up to eight steps, each row on one scale; args as :func:`write_token_maps`."""
    steps = [maps.steps[at] for at in shown_steps(len(maps.steps))]
    labels = list(maps.names) if names is None else list(names)
    rows = {label: [maps.at(maps.names.get(label, label), step, scale=scale) for step in steps] for label in labels}
    return rows_figure(image.size, [f"step {step + 1}" for step in steps], rows)


def overlay_with_legend(
    image: Image.Image, values: np.ndarray, name: str, scale: Scale, colour: str, style: HeatmapStyle | None = None
) -> Image.Image:
    """Draw a map over an image, and below it what its colours mean.

    Args:
        image: the image.
        values: (h, w), of :meth:`TokenMaps.at`.
        name: of the word.
        scale: of the values.
        colour: ``#RRGGBB``.
        style: how it is drawn.
    """
    style = style or HeatmapStyle()
    drawn = overlay_maps(image, [values], [colour], style)
    title = Line(f"{name}: {SCALE_NAMES[scale]}", size=13)
    if is_flat(values):
        return image_grid([[drawn], [text_block([title, "the same all over the image"], image.width)]], gap=0)
    low, high = float(values.min()), float(np.percentile(values, _TOP_PERCENTILE))
    ramp = np.linspace(0, 1, image.width)[None].repeat(BAR_HEIGHT, 0)
    grey = Image.new("RGB", (image.width, BAR_HEIGHT), (128, 128, 128))
    bar = overlay_maps(grey, [ramp], [colour], HeatmapStyle(style.opacity, style.threshold, style.palette, False))
    ends = text_block([f"from {value_text(low, scale)} to {value_text(high, scale)} or more"], image.width)
    return image_grid([[drawn], [text_block([title], image.width)], [bar], [ends]], gap=0)


def value_text(value: float, scale: Scale) -> str:
    """Return a value of a scale as people read it."""
    if scale == "z":
        return f"{value:+.1f}"
    return f"{100 * value:+.2f}%" if scale == "contrast" else f"{100 * value:.2f}%"
