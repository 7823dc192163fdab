"""The grid of a comparison: a component that runs in the browser, and what turns steps into what it shows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypedDict
from uuid import uuid4

import gradio as gr

from demo.compare.map_gaps import map_gaps
from demo.compare.variants import RequestVariant, VariantLabel, VariantTable
from demo.form.form import Form
from demo.server.limits import Limits, local_limits
from demo.viewer.frames import FinishedFrame, Progress, SubjectLabel, progress_record
from demo.viewer.history import History
from demo.viewer.job import Job
from demo.viewer.map_encoding import PackedMaps, pack_averages, pack_maps
from demo.viewer.viewer import HEATMAP_SCRIPTS, RunPresenter
from demo.web.cached_files import FileRecord, data_url
from demo.web.static_files import scripts, static
from demo.words.word_notes import WordReader
from mmdiff_core.encoders.photo_cache import PhotoCache
from mmdiff_core.errors import PhotoError
from mmdiff_core.results import Step
from mmdiff_core.types import MapKind, Word
from mmdiff_core.weights.model_source import ModelSource

SCRIPTS = (*HEATMAP_SCRIPTS, "compare/cells", "viewer/png", "compare/lens", "compare/grid_file", "compare/grid")


class CellRecord(TypedDict):
    """A finished picture at its place in the grid, counted row by row, with a map per kind and subject.

    ``gaps`` are keys of texts: why there is no map of a kind.
    """

    place: int
    name: str
    image: FileRecord
    labels: list[list[str]]
    subjects: list[SubjectLabel]
    maps: PackedMaps
    gaps: dict[MapKind, str]


class GridValue(TypedDict):
    """The axes, and the finished pictures. Labels are (key, value); ``across`` and ``down`` are keys of texts.

    ``asked`` is what the fields asked for, which a saved grid keeps.
    """

    run: str | None
    across: str | None
    down: str | None
    columns: list[list[str]]
    rows: list[list[str]]
    cells: list[CellRecord]
    asked: dict[str, Any]


class LiveCell(TypedDict):
    """The picture in the making, a data URL, with its newest maps."""

    place: int
    image: str
    subjects: list[SubjectLabel]
    maps: PackedMaps
    progress: Progress


class WaitingCell(TypedDict):
    """What stands in the place of a :class:`LiveCell` before a picture's first step; None: before any step."""

    progress: Progress | None


def comparison_grid() -> gr.HTML:
    """Make an empty grid; a :class:`ComparisonGrid` makes its ``value`` and ``live``."""
    empty: GridValue = {"run": None, "across": None, "down": None, "columns": [], "rows": [], "cells": [], "asked": {}}
    return gr.HTML(
        value=empty,
        live=None,
        html_template=static("compare/grid.html"),
        js_on_load=scripts(*SCRIPTS),
        apply_default_css=False,
        elem_id="comparison-grid",
    )


def waiting_grid_update() -> gr.HTML:
    """Return the grid's update before the first step."""
    live: WaitingCell = {"progress": None}
    return gr.HTML(live=live)


@dataclass(frozen=True)
class ComparisonCell:
    """A finished picture of a comparison: its variant, and all that the viewer shows of it."""

    variant: RequestVariant
    seed: int
    frame: FinishedFrame


@dataclass
class Comparison:
    """The last comparison of a session: its finished pictures by their names."""

    limits: Limits = field(default_factory=local_limits)
    run: str = ""
    table: VariantTable | None = None
    form: Form | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    cells: dict[str, ComparisonCell] = field(default_factory=dict)
    history: History = field(init=False)
    grid: ComparisonGrid | None = None  # of the run that was started last
    job: Job[GridStep] | None = None

    def __post_init__(self) -> None:
        self.history = self._empty_history()

    def begin(self, table: VariantTable, form: Form, asked: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Forget the last comparison; ``asked`` is what the fields ask for in this one."""
        self.run, self.table, self.form, self.asked = uuid4().hex, table, form, asked
        self.cells, self.history = {}, self._empty_history(self.history.photos)

    @property
    def is_busy(self) -> bool:
        """Whether its run goes on."""
        return self.job is not None and not self.job.over

    def get(self, name: object) -> ComparisonCell:
        """Return a finished picture.

        Raises:
            PhotoError: it is of another comparison.
        """
        if not isinstance(name, str) or name not in self.cells:
            raise PhotoError("This picture is of an earlier comparison: compare again to open it.")
        return self.cells[name]

    def _empty_history(self, photos: PhotoCache | None = None) -> History:
        return History(self.limits, self.limits.comparison_pictures, photos)


@dataclass(frozen=True)
class GridStep:
    """A step of the picture at a place of the grid, with the presenter of that picture."""

    place: int
    variant: RequestVariant
    presenter: RunPresenter
    step: Step


class ComparisonGrid:
    """Turns the steps of a comparison's pictures into what the browser shows.

    Args:
        comparison: takes the finished pictures.
        steps: of each variant.
        origin: of the model.
        reader: knows the words that the model reads.
    """

    def __init__(
        self,
        comparison: Comparison,
        steps: Sequence[int],
        origin: ModelSource | None = None,
        reader: WordReader | None = None,
    ) -> None:
        self.comparison = comparison
        self.origin = origin
        self.reader = reader
        self.steps = steps
        self.cells: list[CellRecord] = []
        self.live: LiveCell | WaitingCell | None = {"progress": None}
        self.started = time.monotonic()

    @property
    def complete(self) -> bool:
        """Whether the last picture is finished."""
        return len(self.cells) == len(self.steps)

    @property
    def finished(self) -> int:
        """How many pictures are finished."""
        return len(self.cells)

    def value(self) -> GridValue:
        """Return the axes and the finished pictures."""
        table = self.comparison.table
        assert table is not None  # begun
        return {
            "run": self.comparison.run,
            "across": table.across,
            "down": table.down,
            "columns": _lists(table.columns),
            "rows": _lists(table.rows),
            "cells": list(self.cells),
            "asked": dict(self.comparison.asked),
        }

    def presenter(self, prompt: str, words: Sequence[Word], form: Form) -> RunPresenter:
        """Return a presenter for the steps of one variant."""
        return RunPresenter(prompt, words, form, self.comparison.history, self.origin, self.reader)

    def take(self, given: GridStep) -> None:
        """Take in a step."""
        place, presenter, step = given.place, given.presenter, given.step
        presenter.previews.append(step.preview)
        if step.finished is None:
            self.live = self._live(place, presenter, step)
            return
        frame = presenter.finish(step.finished)
        frame["labels"] = _lists(given.variant.labels)
        self.comparison.cells[frame["name"]] = ComparisonCell(given.variant, step.finished.seed, frame)
        self.cells.append(
            {
                "place": place,
                "name": frame["name"],
                "image": frame["image"],
                "labels": frame["labels"],
                "subjects": presenter.subjects,
                "maps": pack_averages(step.finished.maps),
                "gaps": map_gaps(step.finished),
            }
        )
        self.live = None if self.complete else {"progress": self._progress(place + 1, 0)}

    def news(self, known: int) -> gr.HTML:
        """Return the update for a page that shows ``known`` finished pictures of the run."""
        return gr.HTML(live=self.live) if self.finished == known else gr.HTML(value=self.value(), live=self.live)

    def ended(self, stopped: bool) -> gr.HTML:
        """Return the update once nothing runs: what is finished stays."""
        del stopped
        return gr.HTML(live=None)

    def claim_files(self) -> None:
        """Claim the pictures and their photos for the session that is being served."""
        for entry in self.comparison.history.entries.values():
            entry.claimed_file()

    def _live(self, place: int, presenter: RunPresenter, step: Step) -> LiveCell:
        return {
            "place": place,
            "image": data_url(step.preview),
            "subjects": presenter.subjects,
            "maps": pack_maps(step.maps, newest=True, max_bytes=0),
            "progress": self._progress(place, step.step),
        }

    def _progress(self, place: int, step: int) -> Progress:
        done = (sum(self.steps[:place]) + step) / sum(self.steps)
        place = min(place, len(self.steps) - 1)
        return progress_record(place + 1, len(self.steps), step, self.steps[place], done, self.started)


def _lists(labels: Sequence[VariantLabel]) -> list[list[str]]:
    return [list(label) for label in labels]
