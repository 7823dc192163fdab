"""Figures for a paper: an image with its subjects' maps, averaged and step by step.

Matplotlib's settings belong to the whole process: draw one figure at a time.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mmdiff_core.encoders.name_matching import distinct_names
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import MapKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mmdiff_core.maps.attention_maps import AttentionMaps

KIND_NAMES: dict[MapKind, str] = {"text": "word", "image": "photos", "influence": "influence"}
MAX_COLUMNS = 8
_WIDTH = 7.0  # inches; a page of two columns
_STYLE: Any = {"font.size": 8, "axes.titlesize": 8, "pdf.fonttype": 42, "axes.linewidth": 0.5}


def overview_figure(generated: GeneratedImage, kind: MapKind = "image", colour_map: str = "viridis") -> Figure:
    """Draw the image, and next to it each subject's map, averaged over steps and layers, with a colour bar.

    Args:
        generated: a finished image with recorded maps.
        kind: the kind of map.
        colour_map: one of matplotlib's names.
    """
    maps = generated.maps
    assert maps is not None, "a figure needs recorded maps"
    panels = {f"{name} ({KIND_NAMES[kind]})": maps.at(index, kind) for index, name in enumerate(_names(generated))}
    return panel_figure(generated.image, f"seed {generated.seed}", panels, colour_map)


def panel_figure(
    image: Image.Image,
    title: str,
    panels: Mapping[str, np.ndarray],
    colour_map: str = "viridis",
    columns: int = MAX_COLUMNS,
) -> Figure:
    """Draw an image, and next to it maps, each on its own scale with a colour bar.

    Args:
        image: the image.
        title: above the image.
        panels: maps (h, w) by their titles. The scale of a map without negative values begins at 0.
        colour_map: one of matplotlib's names.
        columns: panels in a row at most.
    """
    import matplotlib
    from matplotlib.figure import Figure

    across = min(len(panels) + 1, columns)
    down = -(-(len(panels) + 1) // across)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, _WIDTH / across * 1.02 * down), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).flatten()
        _draw_image(axes[0], image)
        axes[0].set_title(title)
        for place, (name, values) in zip(axes[1:], panels.items(), strict=False):
            drawn = _draw_map(place, values, image.size, colour_map, low=min(0.0, float(values.min())))
            place.set_title(name)
            bar = figure.colorbar(drawn, ax=place, fraction=0.046, pad=0.03)
            bar.outline.set_linewidth(0.5)  # type: ignore[operator]
            bar.ax.tick_params(width=0.5, length=2)
        for place in axes[len(panels) + 1 :]:
            place.set_axis_off()
    return figure


def steps_figure(
    generated: GeneratedImage,
    previews: Sequence[Image.Image] = (),
    kind: MapKind = "image",
    colour_map: str = "viridis",
) -> Figure:
    """Draw the preview and each subject's map at up to eight steps, the first and the last among them.

    Each row of maps has one scale, so that its columns can be compared. A step without such a map stays empty.

    Args:
        generated: a finished image with recorded maps.
        previews: one per recorded step; without them the first row is left out.
        kind: the kind of map.
        colour_map: one of matplotlib's names.
    """
    maps = generated.maps
    assert maps is not None, "a figure needs recorded maps"
    columns = shown_steps(len(maps.steps))
    rows = {
        name: [_map_at_step(maps, index, kind, maps.steps[at]) for at in columns]
        for index, name in enumerate(_names(generated))
    }
    titles = [f"step {maps.steps[at] + 1}" for at in columns]
    return rows_figure(generated.image.size, titles, rows, [previews[at] for at in columns if previews], colour_map)


def shown_steps(count: int) -> list[int]:
    """Return the places of the steps that a figure shows of ``count``: up to eight, with the first and the last."""
    return [int(at) for at in np.unique(np.linspace(0, count - 1, MAX_COLUMNS).round())]


def rows_figure(
    size: tuple[int, int],
    titles: Sequence[str],
    rows: Mapping[str, Sequence[np.ndarray | None]],
    previews: Sequence[Image.Image] = (),
    colour_map: str = "viridis",
) -> Figure:
    """Draw a row of maps (h, w) for each name, on one scale, so that its columns can be compared.

    Args:
        size: (width, height) of the image.
        titles: of the columns.
        rows: a map for each column, by the names that stand beside them; a place without one stays empty.
        previews: one per column, as a first row.
        colour_map: one of matplotlib's names.
    """
    import matplotlib
    from matplotlib.figure import Figure

    names = ["preview"] * bool(previews) + list(rows)
    with matplotlib.rc_context(_STYLE):
        height = _WIDTH / len(titles) * len(names) + 0.3
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.subplots(len(names), len(titles), squeeze=False)
        for column, title in enumerate(titles):
            axes[0][column].set_title(title)
            if previews:
                _draw_image(axes[0][column], previews[column].resize(size, Image.Resampling.BICUBIC))
        for row, maps in zip(axes[bool(previews) :], rows.values(), strict=True):
            _draw_map_row(row, maps, size, colour_map)
        for row, name in zip(axes, names, strict=True):
            row[0].set_ylabel(name)
    return figure


def encode_figure(figure: Figure, kind: str) -> bytes:
    """Return the file of a figure, ``pdf`` or ``png`` with 300 dots per inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=300)
    return buffer.getvalue()


def _map_at_step(maps: AttentionMaps, index: int, kind: MapKind, step: int) -> np.ndarray | None:
    """Return a subject's map at a step; None where the step has none, which differs from a map of zeros."""
    recorded = any(record.step == step and kind in record.kinds for record in maps.records)
    return maps.at(index, kind, step) if recorded else None


def _draw_map_row(
    row: Sequence[Axes], maps: Sequence[np.ndarray | None], size: tuple[int, int], colour_map: str
) -> None:
    found = [values for values in maps if values is not None]
    top, low = max((float(x.max()) for x in found), default=1.0), min((float(x.min()) for x in found), default=0.0)
    for axes, values in zip(row, maps, strict=True):
        if values is None:
            _hide_ticks(axes)
        else:
            _draw_map(axes, values, size, colour_map, top, min(low, 0.0))


def _draw_image(axes: Axes, image: Image.Image) -> None:
    axes.imshow(np.asarray(image.convert("RGB")))
    _hide_ticks(axes)


def _draw_map(
    axes: Axes,
    values: np.ndarray,
    size: tuple[int, int],
    colour_map: str,
    top: float | None = None,
    low: float = 0.0,
) -> Any:
    """Draw a map (h, w) over the area of an image of ``size`` = (width, height)."""
    _hide_ticks(axes)
    extent = (0.0, float(size[0]), float(size[1]), 0.0)
    return axes.imshow(values, cmap=colour_map, vmin=low, vmax=top, extent=extent, interpolation="bilinear")


def _hide_ticks(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])


def _names(generated: GeneratedImage) -> tuple[str, ...]:
    """Return the subjects' words, with numbers where they are alike."""
    return distinct_names([word.text for word in generated.words])
