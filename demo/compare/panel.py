"""What to compare: the request with something left out in turn, or a grid over two settings; and the grid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import gradio as gr
from gradio.components import Component

from demo.compare.axes import Axis, comparison_axes
from demo.compare.grid import Comparison, comparison_grid
from demo.compare.variants import (
    ALL_PHOTOS,
    LEAVE_OUT,
    PART_NAMES,
    FormRequest,
    VariantError,
    VariantTable,
    model_components,
    omissions,
    variant_table,
)
from demo.form import browser_draft
from demo.form.browser_draft import COMPARE
from demo.viewer.saved_picture import open_saved
from demo.web.events import QUIET, Update
from demo.web.i18n import text
from demo.web.run_buttons import busy_update
from demo.web.static_files import scripts, static
from mmdiff_core.errors import MMDiffError, PhotoError, SettingsError

if TYPE_CHECKING:
    from demo.server.service import Service

Values = Mapping[Component, Any]
# The values of fields differ from the keys of texts, which Gradio would translate.
OMIT, GRID = "mode-omit", "mode-grid"
AXIS = "axis-{}".format
NOTHING = AXIS("none")
_NAMES = ("mode", "omit", "across", "columns", "down", "rows")  # of the fields, in their order
ACROSS, DOWN = "strength", "seed"  # at first
_OF_A_MODEL = tuple(map(AXIS, (*browser_draft.OF_A_MODEL, "delay")))  # axes whose values another model may not take


class SummaryRecord(TypedDict):
    """How many pictures a comparison makes, or why none; and what they have in common, as (key, value) labels.

    ``about`` are the labels of the variant that the error is about. ``attempt`` differs with every Compare in vain, and
    is empty while somebody types. ``untrained``: images have sizes that the weights were not made for.
    """

    count: int
    error: str
    about: list[list[str]]
    attempt: str
    common: list[list[str]]
    untrained: bool


def summary_record(
    count: int = 0,
    error: MMDiffError | None = None,
    attempt: str = "",
    common: Sequence[list[str]] = (),
    untrained: bool = False,
) -> SummaryRecord:
    """Describe a comparison for the page."""
    return {
        "count": count,
        "error": "" if error is None else str(error),
        "about": [list(label) for label in error.labels] if isinstance(error, VariantError) else [],
        "attempt": attempt,
        "common": list(common),
        "untrained": untrained,
    }


def _typed_script(*fields: str) -> str:
    """Return JavaScript that keeps what was typed; its arguments are an axis and the values for each field."""
    return static("compare/panel_typed.js").replace("FIELDS", json.dumps(fields))


class ComparePanel:
    """The fields of the Compare tab, its two buttons, and the grid."""

    def __init__(self, service: Service) -> None:
        self.model = service.backbone.display_name
        self.axes = comparison_axes(service)
        self.components = model_components(service)
        self.limits = service.limits
        self.left_out = [key for key in LEAVE_OUT if getattr(self.components, key, True)]

    def render(self) -> None:
        """Make the components inside the current layout."""
        gr.HTML(text("compare_head"), elem_classes="section", apply_default_css=False)
        self.prompt = gr.HTML("", elem_id="compare-base", apply_default_css=False, min_height=1)
        with gr.Column(elem_id="compare-fields"):
            self.mode = gr.Radio(
                [(text("leave_out"), OMIT), (text("grid"), GRID)], value=OMIT, show_label=False, container=False,
                label=text("what_changes"), elem_id="compare-mode",
            )  # fmt: skip
            self._render_omissions()
            self._render_grid()
            self._render_actions()
        self.draft = gr.JSON(visible=False)
        self.running = gr.JSON(visible=False)  # {"runs": whether a comparison ran when the page was opened}
        self.comparison = gr.State(Comparison(self.limits))
        self.planned = gr.State(None)  # what the click on Compare is going to make
        self.grid = comparison_grid()
        self.returning = gr.Timer(0.2, active=False)  # starts to watch a run that was there before the page

    def _render_omissions(self) -> None:
        options = [(text(f"part_{key}" if key in PART_NAMES else key), key) for key in self.left_out]
        at_first = [key for key in self.left_out if key != ALL_PHOTOS]
        with gr.Column(elem_classes="group") as self.omit_group:
            self.omit = gr.CheckboxGroup(
                options, value=at_first, label=text("left_out"), info=text("left_out_info"), elem_id="left-out"
            )

    def _render_grid(self) -> None:
        options = [(text(key), AXIS(key)) for key in self.axes]
        nothing = [(text("nothing"), NOTHING)]
        with gr.Column(elem_classes="group", visible=False) as self.grid_group, gr.Row():
            with gr.Column(min_width=240):
                self.across = gr.Dropdown(options, value=AXIS(ACROSS), label=text("across"), elem_id="across")
                self.columns = self._values("columns", ACROSS)
            with gr.Column(min_width=240):
                self.down = gr.Dropdown([*options, *nothing], value=AXIS(DOWN), label=text("down"), elem_id="down")
                self.rows = self._values("rows", DOWN)

    def _values(self, elem_id: str, axis: str) -> gr.Textbox:
        return gr.Textbox(
            self.axes[axis].suggestion, label=text("values"), info=text("values_info"), max_lines=1, elem_id=elem_id
        )

    def _render_actions(self) -> None:
        with gr.Row(elem_id="compare-actions"):
            self.compare = gr.Button(text("compare_run"), variant="primary", scale=0, elem_id="compare-run")
            self.stop = gr.Button(text("stop"), variant="stop", scale=0, visible=False, elem_id="compare-stop")
            self.summary = gr.HTML(
                summary_record(),
                html_template='<p class="summary" role="status"></p><p class="hint"></p><p class="hint"></p>',
                js_on_load=scripts("compare/panel"),
                elem_id="compare-summary",
                apply_default_css=False,
            )
            place = '<p class="ahead" role="status"></p>'
            gr.HTML(place, elem_id="compare-ahead", apply_default_css=False, min_height=1)
        self.queue = gr.HTML("", elem_id="compare-queue", elem_classes="queue", apply_default_css=False, min_height=1)

    def listen(self, page: gr.Blocks) -> None:
        """Show the fields of the chosen mode, suggest values for an axis, and keep the fields in the browser."""
        self.mode.change(self._choose, self.mode, [self.omit_group, self.grid_group], **QUIET)
        for name, axis, field in self._axes:
            axis.input(None, axis, field, js=self._suggest_script(name), **QUIET)
            field.change(None, [axis, field], None, js=_typed_script(name), **QUIET)
        save = browser_draft.save_script(_NAMES, self.model, COMPARE)
        gr.on([field.change for field in self.fields], None, list(self.fields), None, js=save, **QUIET)
        load, unlock = browser_draft.load_script(COMPARE), browser_draft.unlock_script(COMPARE)
        recalled = page.load(self._recall, self.draft, list(self.fields), js=load, **QUIET)
        recalled.then(None, None, None, js=unlock, **QUIET)
        both = [component for _, *pair in self._axes for component in pair]
        recalled.then(None, both, None, js=_typed_script(*(name for name, *_ in self._axes)), **QUIET)

    def _recall(self, draft: object) -> Update:
        """Fill the fields from the browser's draft; what is not valid, or is another model's, is left out."""
        draft = draft if isinstance(draft, dict) else {}
        foreign = () if draft.get("model") == self.model else _OF_A_MODEL
        mode, omit, across, columns, down, rows = (draft.get(name) for name in _NAMES)
        update: Update = {self.mode: mode if mode in (OMIT, GRID) else gr.skip()}
        if isinstance(omit, list):
            update[self.omit] = [key for key in self.left_out if key in omit]
        for value, field, values, typed in (
            (across, self.across, self.columns, columns),
            (down, self.down, self.rows, rows),
        ):
            known = [key for _, key in field.choices if key not in foreign]
            if value in known and isinstance(typed, str):
                update |= {field: value, values: gr.update(value=typed, visible=bool(self._suggestion(value)))}
        return update

    def asked(self, values: Values) -> dict[str, Any]:
        """Return what the fields ask for, as the browser keeps it and a saved grid has it."""
        return {name: values[field] for name, field in zip(_NAMES, self.fields, strict=True)} | {"model": self.model}

    def listen_to_files(self, opener: gr.UploadButton) -> None:
        """Fill the fields from a saved grid that is opened."""
        opener.upload(self._open, opener, list(self.fields), **QUIET)

    def _open(self, path: str) -> Update:
        try:
            return self._recall(open_saved(path).comparison)
        except PhotoError:  # which was said
            return self._recall(None)

    @property
    def fields(self) -> tuple[gr.Radio | gr.CheckboxGroup | gr.Dropdown | gr.Textbox, ...]:
        """Every component that a person fills in."""
        return (self.mode, self.omit, self.across, self.columns, self.down, self.rows)

    def table(self, values: Values, case: FormRequest) -> VariantTable:
        """Return the variants that the fields ask for.

        Raises:
            SettingsError: there is nothing to compare, or a value is not valid.
        """
        return self._omissions(values, case) if values[self.mode] == OMIT else self._grid(values, case)

    def _omissions(self, values: Values, case: FormRequest) -> VariantTable:
        changes = omissions(case, values[self.omit] or (), self.components)
        if len(changes) == 1:
            raise SettingsError("Choose what to leave out: something that is on in the Studio.")
        return variant_table(case, changes, against_first=True, max_pictures=self.limits.comparison_pictures)

    def _grid(self, values: Values, case: FormRequest) -> VariantTable:
        across, down = self._axis(values[self.across]), self._axis(values[self.down])
        if across is None or across is down:
            raise SettingsError("Choose two different settings, one across and one down.")
        columns, limit = across.changes(values[self.columns] or "", case), self.limits.comparison_pictures
        if down is None:
            return variant_table(case, columns, across=across.key, max_pictures=limit)
        rows = down.changes(values[self.rows] or "", case)
        return variant_table(case, columns, rows, across.key, down.key, max_pictures=limit)

    def busy(self, busy: bool) -> Update:
        """Show Stop while something runs."""
        return busy_update(self.compare, self.stop, busy)

    def _choose(self, mode: str) -> tuple[Any, Any]:
        return gr.update(visible=mode == OMIT), gr.update(visible=mode == GRID)

    def _axis(self, value: str) -> Axis | None:
        """The chosen axis; None where none is chosen."""
        return next((axis for key, axis in self.axes.items() if AXIS(key) == value), None)

    @property
    def _axes(self) -> tuple[tuple[str, gr.Dropdown, gr.Textbox], ...]:
        """Each axis with the field of its values, and the field's name."""
        return (("columns", self.across, self.columns), ("rows", self.down, self.rows))

    def _suggest_script(self, field: str) -> str:
        suggestions = {AXIS(key): axis.suggestion for key, axis in self.axes.items()}
        return (
            static("compare/panel_suggest.js").replace("SUGGESTIONS", json.dumps(suggestions)).replace("FIELD", field)
        )

    def _suggestion(self, value: str) -> str:
        """Values to begin with; empty where there is nothing to type."""
        axis = self._axis(value)
        return "" if axis is None else axis.suggestion
