"""Figures ready for a paper: a picture with its subjects' maps, and how they came to be step by step.

Matplotlib's settings belong to the whole process, so that one figure at a time is to be made.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import MapKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STREAM_NAMES: dict[MapKind, str] = {"text": "word", "image": "photos", "influence": "influence"}
MOST_COLUMNS = 8
_WIDTH = 7.0  # inches, a page of two columns
_STYLE: Any = {"font.size": 8, "axes.titlesize": 8, "pdf.fonttype": 42, "axes.linewidth": 0.5}


def overview_figure(picture: GeneratedImage, kind: MapKind = "image", colour_map: str = "viridis") -> Figure:
    """The picture, and beside it each subject's map, averaged over steps and layers, with a colour bar.

    Args:
        picture: a finished picture with recorded maps.
        stream: the kind of map.
        colour_map: one of matplotlib's names.
    """
    import matplotlib
    from matplotlib.figure import Figure

    maps = picture.maps
    assert maps is not None, "a figure needs recorded maps"
    count = len(picture.words)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, _WIDTH / (count + 1) * 1.02), layout="constrained")
        axes = figure.subplots(1, count + 1, squeeze=False)[0]
        _picture(axes[0], picture.image, f"seed {picture.seed}")
        for index, word in enumerate(picture.words):
            drawn = _map(axes[index + 1], maps.at(index, kind), picture.image.size, colour_map)
            axes[index + 1].set_title(f"{word.text} ({STREAM_NAMES[kind]})")
            bar = figure.colorbar(drawn, ax=axes[index + 1], fraction=0.046, pad=0.03)
            bar.outline.set_linewidth(0.5)  # type: ignore[operator]
            bar.ax.tick_params(width=0.5, length=2)
    return figure


def steps_figure(
    picture: GeneratedImage, previews: Sequence[Image.Image] = (), kind: MapKind = "image", colour_map: str = "viridis"
) -> Figure:
    """The preview and each subject's map at up to eight steps, the first and the last among them.

    Each row of maps has one scale, so that its columns can be compared. A step without such a map stays empty.

    Args:
        picture: a finished picture with recorded maps.
        previews: one per recorded step; without them the first row is left out.
        stream: the kind of map.
        colour_map: one of matplotlib's names.
    """
    import matplotlib
    from matplotlib.figure import Figure

    maps = picture.maps
    assert maps is not None, "a figure needs recorded maps"
    columns = np.unique(np.linspace(0, len(maps.steps) - 1, MOST_COLUMNS).round().astype(int))
    names = ["preview"] * bool(previews) + [word.text for word in picture.words]
    with matplotlib.rc_context(_STYLE):
        height = _WIDTH / len(columns) * len(names) + 0.3
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.subplots(len(names), len(columns), squeeze=False)
        for column, at in enumerate(columns):
            axes[0][column].set_title(f"step {maps.steps[at] + 1}")
            if previews:
                _picture(axes[0][column], previews[at].resize(picture.image.size, Image.Resampling.BICUBIC))
        for index, row in enumerate(axes[bool(previews) :]):
            _map_row(row, [_at(picture, index, kind, maps.steps[at]) for at in columns], picture, colour_map)
        for row, name in zip(axes, names, strict=True):
            row[0].set_ylabel(name)
    return figure


def rendered(figure: Figure, kind: str) -> bytes:
    """The file of a figure, ``pdf`` or ``png`` with 300 dots an inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=300)
    return buffer.getvalue()


def _at(picture: GeneratedImage, index: int, kind: MapKind, step: int) -> np.ndarray | None:
    """None where the step has no such map, which differs from a map of zeros."""
    maps = picture.maps
    assert maps is not None
    has = any(record.step == step and kind in record.kinds for record in maps.records)
    return maps.at(index, kind, step) if has else None


def _map_row(row: Sequence[Axes], maps: Sequence[np.ndarray | None], picture: GeneratedImage, colour_map: str) -> None:
    top = max((float(values.max()) for values in maps if values is not None), default=1.0)
    for axes, values in zip(row, maps, strict=True):
        if values is None:
            _bare(axes)
        else:
            _map(axes, values, picture.image.size, colour_map, top)


def _picture(axes: Axes, image: Image.Image, title: str = "") -> None:
    axes.imshow(np.asarray(image.convert("RGB")))
    _bare(axes)
    if title:
        axes.set_title(title)


def _map(axes: Axes, values: np.ndarray, size: tuple[int, int], colour_map: str, top: float | None = None) -> Any:
    """A map (h, w) over the area of a picture of ``size`` = (width, height)."""
    _bare(axes)
    extent = (0.0, float(size[0]), float(size[1]), 0.0)
    return axes.imshow(values, cmap=colour_map, vmin=0, vmax=top, extent=extent, interpolation="bilinear")


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
