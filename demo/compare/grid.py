"""The sheet of a comparison: a component that runs in the browser, and the records it is fed with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import gradio as gr

from demo.compare.variants import Label, Table, Variant
from demo.form.form import Form
from demo.server.limits import Limits, usual
from demo.viewer.history import Shelf
from demo.viewer.map_encoding import StepPack, pack_map, pack_step
from demo.viewer.viewer import Album, duration
from demo.web.cached_files import data_url
from demo.web.static_files import scripts, static
from mmdiff_core.encoders.photo_cache import PhotoCache
from mmdiff_core.errors import PhotoError
from mmdiff_core.maps.attention_maps import AttentionMaps
from mmdiff_core.results import Step
from mmdiff_core.types import Word
from mmdiff_core.weights.model_source import ModelSource

SCRIPTS = (
    *("viewer/heatmap", "viewer/palettes", "viewer/contour", "viewer/overlay"),
    *("compare/cells", "compare/lens", "compare/grid_file", "compare/grid"),
)


def sheet() -> gr.HTML:
    """An empty sheet. Feed it with ``gr.HTML(value=..., live=...)`` made by :class:`Sheet`."""
    return gr.HTML(
        value={"run": None, "columns": [], "rows": [], "cells": []},
        live=None,
        html_template=static("compare/grid.html"),
        js_on_load=scripts(*SCRIPTS),
        apply_default_css=False,
        elem_id="sheet",
    )


@dataclass(frozen=True)
class Cell:
    """A finished picture of a comparison: the variant, and all that the viewer shows of it."""

    variant: Variant
    seed: int
    shot: dict[str, Any]


@dataclass
class Comparison:
    """The last comparison of one session: what is finished of it, by name."""

    limits: Limits = field(default_factory=usual)
    run: str = ""
    table: Table | None = None
    form: Form | None = None
    cells: dict[str, Cell] = field(default_factory=dict)
    shelf: Shelf = field(init=False)

    def __post_init__(self) -> None:
        self.shelf = self._empty_shelf()

    def begin(self, table: Table, form: Form) -> None:
        """Forget the one before."""
        self.run, self.table, self.form = uuid4().hex, table, form
        self.cells, self.shelf = {}, self._empty_shelf(self.shelf.photos)

    def get(self, name: object) -> Cell:
        """A finished picture.

        Raises:
            PhotoError: it is of another comparison.
        """
        if not isinstance(name, str) or name not in self.cells:
            raise PhotoError("This picture is of an earlier comparison: compare again to look into it.")
        return self.cells[name]

    def _empty_shelf(self, photos: PhotoCache | None = None) -> Shelf:
        return Shelf(self.limits, self.limits.comparison_pictures, photos)


class Sheet:
    """Turns the steps of a comparison's pictures into what the browser shows.

    Args:
        comparison: takes what is finished.
        steps: how many steps each variant has.
        origin: of the model.
    """

    def __init__(self, comparison: Comparison, steps: Sequence[int], origin: ModelSource | None = None) -> None:
        self.comparison = comparison
        self.origin = origin
        self.steps = steps
        self.cells: list[dict[str, Any]] = []
        self.started = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether the last picture is there."""
        return len(self.cells) == len(self.steps)

    def shown(self) -> dict[str, Any]:
        """The axes, and what is finished."""
        table = self.comparison.table
        assert table is not None  # begun
        return {
            "run": self.comparison.run,
            "across": table.across,
            "down": table.down,
            "columns": _plain(table.columns),
            "rows": _plain(table.rows),
            "cells": list(self.cells),
        }

    def album(self, prompt: str, words: Sequence[Word], form: Form) -> Album:
        """For the steps of one variant."""
        return Album(prompt, words, form, self.comparison.shelf, self.origin)

    def add(self, place: int, variant: Variant, album: Album, step: Step) -> gr.HTML:
        """Take a step in; returns the update for the browser."""
        album.previews.append(step.preview)
        if step.finished is None:
            return gr.HTML(live=self._live(place, album, step))
        shot = album.finish(step.finished)
        shot["labels"] = _plain(variant.labels)
        self.comparison.cells[shot["name"]] = Cell(variant, step.finished.seed, shot)
        maps = averaged(step.finished.maps) if step.finished.maps else {}
        self.cells.append(
            {"place": place, "name": shot["name"], "image": shot["image"], "labels": _plain(variant.labels)}
            | {"subjects": album.subjects, "maps": maps}
        )
        last = place == len(self.steps) - 1
        return gr.HTML(value=self.shown(), live=None if last else {"progress": self._progress(place + 1, 0)})

    def _live(self, place: int, album: Album, step: Step) -> dict[str, Any]:
        recorded = step.maps.steps if step.maps else ()
        maps = pack_step(step.maps, recorded[-1]) if step.maps and recorded else {}
        return {
            "place": place,
            "image": data_url(step.preview),
            "subjects": album.subjects,
            "maps": maps,
            "progress": self._progress(place, step.step),
        }

    def _progress(self, place: int, step: int) -> dict[str, Any]:
        done, total = sum(self.steps[:place]) + step, sum(self.steps)
        left = (time.monotonic() - self.started) / done * (total - done)
        place = min(place, len(self.steps) - 1)
        return {
            "picture": place + 1,
            "pictures": len(self.steps),
            "step": step,
            "steps": self.steps[place],
            "left": duration(left),
            "done": done / total,
        }


def averaged(maps: AttentionMaps) -> StepPack:
    """Per kind of map, one per subject, averaged over steps and layers."""
    return {stream: [pack_map(maps.at(i, stream)) for i in range(len(maps.subjects))] for stream in maps.kinds}


def _plain(labels: Sequence[Label]) -> list[list[str]]:
    """As the browser reads them."""
    return [list(label) for label in labels]
