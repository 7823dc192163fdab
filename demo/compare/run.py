"""What Compare and Stop do on the Compare tab, and how one of its pictures comes before the Studio's viewer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from demo.compare.grid import Comparison, ComparisonGrid
from demo.compare.panel import ComparePanel
from demo.compare.variants import FormRequest, RequestVariant, VariantTable, error_about
from demo.form.form import Form
from demo.form.prompt_words import marked_html
from demo.form.validation import first_blocking
from demo.server.error_messages import user_facing_errors
from demo.server.limits import limits_of
from demo.server.service import MODEL_QUEUE, Deadline
from demo.studio.form_panel import FormPanel
from demo.studio.result_panel import ResultPanel
from demo.viewer.history import History
from demo.viewer.map_budget import recording_for_plan
from demo.web.events import QUIET, WITH_MESSAGES, Update
from demo.web.i18n import english
from demo.web.run_buttons import stop_on_click, when_over
from mmdiff_core.errors import MMDiffError, SettingsError

if TYPE_CHECKING:
    from mmdiff_core.generation.request_plan import Plan
    from mmdiff_core.pipeline import Personalizer

Values = Mapping[Component, Any]
TO_STUDIO = "() => document.querySelector('#tabs [role=tab]')?.click()"


class ComparisonRunner:
    """Reads the Studio's fields and the Compare tab's, and makes the pictures one by one."""

    def __init__(self, personalizer: Personalizer, form: FormPanel, panel: ComparePanel, result: ResultPanel) -> None:
        self.personalizer = personalizer
        self.form = form
        self.panel = panel
        self.result = result

    def listen(self) -> None:
        """Check, then make the pictures, then rest; Stop may come between."""
        panel = self.panel
        resting = [panel.compare, panel.stop, panel.grid]
        checked = panel.compare.click(self.check, self.fields, [*resting, panel.plan, panel.base], **WITH_MESSAGES)
        run = checked.success(
            self.run,
            self.fields | {panel.comparison},
            panel.grid,
            concurrency_limit=1,
            concurrency_id=MODEL_QUEUE,
            show_progress="minimal",
            show_progress_on=panel.queue,
            api_visibility="private",
        )
        self.rested = when_over(run, self.rest, resting)  # for who waits for the last picture of a comparison
        stop_on_click(panel.stop, run)
        gr.on(
            [field.change for field in panel.fields],
            self.review,
            self.fields,
            [panel.plan, panel.base],
            trigger_mode="always_last",
            **QUIET,
        )
        # The tab may be open before the browser's draft is in the Studio's fields, which tell of no change behind it.
        self.form.recalled.then(self.review, self.fields, [panel.plan, panel.base], **QUIET)
        sessions_own = [panel.comparison, self.result.history]
        shown = panel.grid.inspect(self.inspect, sessions_own, self.result.viewer, **WITH_MESSAGES)
        shown.success(None, None, None, js=TO_STUDIO, **QUIET)

    def opened(self, tab: gr.Tab) -> None:
        """The tab follows what was changed in the Studio."""
        tab.select(self.review, self.fields, [self.panel.plan, self.panel.base], **QUIET)

    @property
    def fields(self) -> set[Block]:
        """Inputs of an event that reads everything."""
        return {*self.form.fields, *self.panel.fields}

    def table(self, values: Values) -> VariantTable:
        """What is asked for.

        Raises:
            MMDiffError: the first thing that is amiss.
        """
        form = self.form.read(values)
        blocking = first_blocking(self.form.judge(form))
        if blocking is not None:
            raise SettingsError(blocking.text)
        request = form.request(limits_of(self.personalizer))
        return self.panel.table(values, FormRequest(form, replace(request, seeds=request.seeds[:1])))

    def plans(self, table: VariantTable) -> list[Plan]:
        """Every picture's request, found good.

        Raises:
            MMDiffError: the first that is not.
        """
        return [self._plan(variant) for variant in table.variants]

    def review(self, values: Values) -> Update:
        """How many pictures that are, or why there are none yet."""
        form = self.form.read(values)
        try:
            table = self.table(values)
            base = [label for label in _numbers(form) if label[0] not in (table.across, table.down)]
            told = {"count": len(table.variants), "fault": "", "asked": "", "base": base}
        except MMDiffError as error:
            told = {"count": 0, "fault": str(error), "asked": "", "base": []}
        return {self.panel.plan: told, self.panel.base: marked_html(form)}

    def check(self, values: Values) -> Iterator[Update]:
        """Say what is wrong; nothing runs and nothing is changed then."""
        told = self.review(values)
        try:
            self.plans(self.table(values))
        except MMDiffError as error:
            fault = {"count": 0, "fault": str(error), "asked": uuid4().hex, "base": []}
            yield {self.panel.plan: fault}
            # Keeps the run from starting; its sentence stands on the page already.
            raise gr.Error(str(error), visible=False, print_exception=False) from error
        yield told | self.panel.busy(True) | {self.panel.grid: gr.HTML(live={"progress": None})}

    def run(self, values: Values) -> Iterator[gr.HTML]:
        """One update a step. Stop closes this generator at a step, and with it the core's.

        The first update comes before any work: Gradio cancels only what has answered once.
        """
        yield gr.HTML(live={"progress": None})
        with user_facing_errors():
            table = self.table(values)
            plans = self.plans(table)
            comparison: Comparison = values[self.panel.comparison]
            comparison.begin(table, self.form.read(values))
            grid = ComparisonGrid(comparison, [plan.numbers.steps for plan in plans], self.personalizer.origin)
            yield gr.HTML(value=grid.shown())
            seconds = limits_of(self.personalizer).run_seconds
            deadline = Deadline(seconds, "A comparison", "fewer pictures or steps")
            for place, (variant, plan) in enumerate(zip(table.variants, plans, strict=True)):
                presenter = grid.presenter(plan.prompt, plan.words, variant.case.form)
                recording = recording_for_plan(self.personalizer, plan, len(plans))
                request = replace(variant.case.request, recording=recording)
                with closing(self.personalizer.generate(request, photos=comparison.history.photos)) as steps:  # type: ignore[type-var]
                    for step in steps:
                        yield grid.add(place, variant, presenter, step)
                        if not grid.finished:
                            deadline.check()

    def rest(self) -> Update:
        """Back to Compare; what is finished stays."""
        return self.panel.busy(False) | {self.panel.grid: gr.HTML(live=None)}

    def inspect(self, comparison: Comparison, history: History, event: gr.EventData) -> gr.HTML:
        """A picture of the sheet goes before the Studio's viewer, and on its shelf for what is made on demand."""
        with user_facing_errors():
            frame = comparison.get(event.name).frame
        kept = comparison.history.find(frame["name"])
        if kept is not None:
            history.add(frame["name"], kept)
        return gr.HTML(value={"run": uuid4().hex, "pictures": [frame], "opened": True})

    def _plan(self, variant: RequestVariant) -> Plan:
        try:
            return self.personalizer.plan(variant.case.request)
        except MMDiffError as error:
            raise error_about(error, variant.labels, english()) from error


def _numbers(form: Form) -> list[list[str]]:
    """What the pictures have in common, as labels."""
    settings = form.settings
    given = {
        "seed": settings.seed,
        "steps": settings.steps,
        "guidance": settings.guidance,
        "delay": settings.start_step,
    }
    given |= {"bound": settings.binding} if settings.binding else {}
    numbers = [[key, f"{value:.10g}"] for key, value in given.items() if value is not None]
    return [*numbers, *([["sampler", settings.sampler]] if settings.sampler else [])]
