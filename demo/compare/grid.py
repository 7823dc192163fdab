"""The sheet of a comparison: a component that runs in the browser, and the records it is fed with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import gradio as gr

from demo.compare.variants import RequestVariant, VariantLabel, VariantTable
from demo.form.form import Form
from demo.server.limits import Limits, local_limits
from demo.viewer.history import History
from demo.viewer.map_encoding import StepPack, pack_map, pack_step
from demo.viewer.viewer import RunPresenter, duration_text
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


def comparison_grid() -> gr.HTML:
    """An empty sheet. Feed it with ``gr.HTML(value=..., live=...)`` made by :class:`ComparisonGrid`."""
    return gr.HTML(
        value={"run": None, "columns": [], "rows": [], "cells": []},
        live=None,
        html_template=static("compare/grid.html"),
        js_on_load=scripts(*SCRIPTS),
        apply_default_css=False,
        elem_id="sheet",
    )


@dataclass(frozen=True)
class ComparisonCell:
    """A finished picture of a comparison: the variant, and all that the viewer shows of it."""

    variant: RequestVariant
    seed: int
    frame: dict[str, Any]


@dataclass
class Comparison:
    """The last comparison of one session: what is finished of it, by name."""

    limits: Limits = field(default_factory=local_limits)
    run: str = ""
    table: VariantTable | None = None
    form: Form | None = None
    cells: dict[str, ComparisonCell] = field(default_factory=dict)
    history: History = field(init=False)

    def __post_init__(self) -> None:
        self.history = self._empty_history()

    def begin(self, table: VariantTable, form: Form) -> None:
        """Forget the one before."""
        self.run, self.table, self.form = uuid4().hex, table, form
        self.cells, self.history = {}, self._empty_history(self.history.photos)

    def get(self, name: object) -> ComparisonCell:
        """A finished picture.

        Raises:
            PhotoError: it is of another comparison.
        """
        if not isinstance(name, str) or name not in self.cells:
            raise PhotoError("This picture is of an earlier comparison: compare again to look into it.")
        return self.cells[name]

    def _empty_history(self, photos: PhotoCache | None = None) -> History:
        return History(self.limits, self.limits.comparison_pictures, photos)


class ComparisonGrid:
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

    def presenter(self, prompt: str, words: Sequence[Word], form: Form) -> RunPresenter:
        """For the steps of one variant."""
        return RunPresenter(prompt, words, form, self.comparison.history, self.origin)

    def add(self, place: int, variant: RequestVariant, presenter: RunPresenter, step: Step) -> gr.HTML:
        """Take a step in; returns the update for the browser."""
        presenter.previews.append(step.preview)
        if step.finished is None:
            return gr.HTML(live=self._live(place, presenter, step))
        frame = presenter.finish(step.finished)
        frame["labels"] = _plain(variant.labels)
        self.comparison.cells[frame["name"]] = ComparisonCell(variant, step.finished.seed, frame)
        maps = averaged(step.finished.maps) if step.finished.maps else {}
        self.cells.append(
            {"place": place, "name": frame["name"], "image": frame["image"], "labels": _plain(variant.labels)}
            | {"subjects": presenter.subjects, "maps": maps}
        )
        last = place == len(self.steps) - 1
        return gr.HTML(value=self.shown(), live=None if last else {"progress": self._progress(place + 1, 0)})

    def _live(self, place: int, presenter: RunPresenter, step: Step) -> dict[str, Any]:
        recorded = step.maps.steps if step.maps else ()
        maps = pack_step(step.maps, recorded[-1]) if step.maps and recorded else {}
        return {
            "place": place,
            "image": data_url(step.preview),
            "subjects": presenter.subjects,
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
            "left": duration_text(left),
            "done": done / total,
        }


def averaged(maps: AttentionMaps) -> StepPack:
    """Per kind of map, one per subject, averaged over steps and layers."""
    return {stream: [pack_map(maps.at(i, stream)) for i in range(len(maps.subjects))] for stream in maps.kinds}


def _plain(labels: Sequence[VariantLabel]) -> list[list[str]]:
    """As the browser reads them."""
    return [list(label) for label in labels]
