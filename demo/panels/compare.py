"""What is compared: something left out in turn, or a grid over two settings; and the sheet of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components import Component

from demo.axes import AnyAxis, axes_of
from demo.panels import QUIET
from demo.sheet import Comparison, sheet
from demo.texts import text
from demo.theme import static
from demo.variants import ALL_PHOTOS, LEAVE_OUT, PART_NAMES, Case, Table, omissions, parts_of, table_of
from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer

Values = Mapping[Component, Any]
Update = dict[Any, Any]
# Values of fields are no keys of the page's texts: Gradio would translate them.
OMIT, GRID = "mode-omit", "mode-grid"
AXIS = "axis-{}".format
NOTHING = AXIS("none")
ACROSS, DOWN = "strength", "seed"  # at first


class ComparePanel:
    """The fields of the Compare tab, its two buttons, and the sheet."""

    def __init__(self, personalizer: Personalizer) -> None:
        self.axes = axes_of(personalizer)
        self.having = parts_of(personalizer)
        self.left_out = [key for key in LEAVE_OUT if getattr(self.having, key, True)]

    def render(self) -> None:
        """Make the components inside the current layout."""
        gr.HTML(text("compare_head"), elem_classes="section", apply_default_css=False)
        self.base = gr.HTML("", elem_id="compare-base", apply_default_css=False, min_height=1)
        with gr.Column(elem_id="compare-fields"):
            self.mode = gr.Radio(
                [(text("leave_out"), OMIT), (text("grid"), GRID)], value=OMIT, show_label=False, container=False,
                label=text("what_changes"), elem_id="compare-mode",
            )  # fmt: skip
            self._render_omissions()
            self._render_grid()
            self._render_actions()
        self.comparison = gr.State(Comparison())
        self.sheet = sheet()

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
            self.compare = gr.Button(text("compare"), variant="primary", scale=0, elem_id="compare-run")
            self.stop = gr.Button(text("stop"), variant="stop", scale=0, visible=False, elem_id="compare-stop")
            self.plan = gr.HTML(
                {"count": 0, "fault": "", "asked": "", "base": []},
                html_template='<p class="plan" role="status"></p><p class="hint"></p>',
                js_on_load=static("speech.js") + static("plan.js"),
                elem_id="compare-plan",
                apply_default_css=False,
            )
            place = '<p class="ahead" role="status"></p>'
            gr.HTML(place, elem_id="compare-ahead", apply_default_css=False, min_height=1)
        self.queue = gr.HTML("", elem_id="compare-queue", elem_classes="queue", apply_default_css=False, min_height=1)

    def listen(self) -> None:
        """The fields follow what changes; an axis brings values to begin with."""
        self.mode.change(self._choose, self.mode, [self.omit_group, self.grid_group], **QUIET)
        self.across.input(self._suggest, self.across, self.columns, **QUIET)
        self.down.input(self._suggest, self.down, self.rows, **QUIET)

    @property
    def fields(self) -> tuple[gr.Radio | gr.CheckboxGroup | gr.Dropdown | gr.Textbox, ...]:
        """Every component that holds what the person gave."""
        return (self.mode, self.omit, self.across, self.columns, self.down, self.rows)

    def table(self, values: Values, case: Case) -> Table:
        """The variants that are asked for.

        Raises:
            SettingsError: there is nothing to compare, or a value is no good.
        """
        return self._omissions(values, case) if values[self.mode] == OMIT else self._grid(values, case)

    def _omissions(self, values: Values, case: Case) -> Table:
        choices = omissions(case, values[self.omit] or (), self.having)
        if len(choices) == 1:
            raise SettingsError("Choose what to leave out: something that is on in the Studio.")
        return table_of(case, choices, against_first=True)

    def _grid(self, values: Values, case: Case) -> Table:
        across, down = self._axis(values[self.across]), self._axis(values[self.down])
        if across is None or across is down:
            raise SettingsError("Choose two different settings, one across and one down.")
        columns = across.choices(values[self.columns] or "", case)
        if down is None:
            return table_of(case, columns, across=across.key)
        return table_of(case, columns, down.choices(values[self.rows] or "", case), across.key, down.key)

    def busy(self, busy: bool) -> Update:
        """Show Stop while something runs."""
        return {self.compare: gr.update(visible=not busy), self.stop: gr.update(visible=busy)}

    def _choose(self, mode: str) -> tuple[Any, Any]:
        return gr.update(visible=mode == OMIT), gr.update(visible=mode == GRID)

    def _axis(self, value: str) -> AnyAxis | None:
        """None where there is to be none."""
        return next((axis for key, axis in self.axes.items() if AXIS(key) == value), None)

    def _suggest(self, value: str) -> Any:
        """Axes whose values are known need no field."""
        axis = self._axis(value)
        suggestion = "" if axis is None else axis.suggestion
        return gr.update(value=suggestion, visible=bool(suggestion))
