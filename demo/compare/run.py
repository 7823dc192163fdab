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

from demo.compare.grid import Comparison, Sheet
from demo.compare.panel import ComparePanel
from demo.compare.variants import Case, Table, Variant, blamed
from demo.form.form import Form
from demo.form.prompt_words import marked
from demo.form.validation import first_blocking
from demo.server.error_messages import spoken
from demo.server.limits import limits_of
from demo.server.service import GPU, Deadline
from demo.studio.form_panel import FormPanel
from demo.studio.result_panel import ResultPanel
from demo.viewer.history import Shelf
from demo.viewer.map_budget import recording_of
from demo.web.events import QUIET, SPEAKING, Update
from demo.web.i18n import english
from demo.web.run_buttons import at_rest, stopped_by
from mmdiff_core.errors import MMDiffError, SettingsError

if TYPE_CHECKING:
    from mmdiff_core.generation.request_plan import Plan
    from mmdiff_core.pipeline import Personalizer

Values = Mapping[Component, Any]
TO_STUDIO = "() => document.querySelector('#tabs [role=tab]')?.click()"


class Comparing:
    """Reads the Studio's fields and the Compare tab's, and makes the pictures one by one."""

    def __init__(self, personalizer: Personalizer, form: FormPanel, panel: ComparePanel, result: ResultPanel) -> None:
        self.personalizer = personalizer
        self.form = form
        self.panel = panel
        self.result = result

    def listen(self) -> None:
        """Check, then make the pictures, then rest; Stop may come between."""
        panel = self.panel
        resting = [panel.compare, panel.stop, panel.sheet]
        checked = panel.compare.click(self.check, self.fields, [*resting, panel.plan, panel.base], **SPEAKING)
        run = checked.success(
            self.run,
            self.fields | {panel.comparison},
            panel.sheet,
            concurrency_limit=1,
            concurrency_id=GPU,
            show_progress="minimal",
            show_progress_on=panel.queue,
            api_visibility="private",
        )
        self.rested = at_rest(run, self.rest, resting)  # for who waits for the last picture of a comparison
        stopped_by(panel.stop, run)
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
        shown = panel.sheet.inspect(self.inspect, [panel.comparison, self.result.shelf], self.result.viewer, **SPEAKING)
        shown.success(None, None, None, js=TO_STUDIO, **QUIET)

    def opened(self, tab: gr.Tab) -> None:
        """The tab follows what was changed in the Studio."""
        tab.select(self.review, self.fields, [self.panel.plan, self.panel.base], **QUIET)

    @property
    def fields(self) -> set[Block]:
        """Inputs of an event that reads everything."""
        return {*self.form.fields, *self.panel.fields}

    def table(self, values: Values) -> Table:
        """What is asked for.

        Raises:
            MMDiffError: the first thing that is amiss.
        """
        form = self.form.read(values)
        blocking = first_blocking(self.form.judge(form))
        if blocking is not None:
            raise SettingsError(blocking.text)
        request = form.request(limits_of(self.personalizer))
        return self.panel.table(values, Case(form, replace(request, seeds=request.seeds[:1])))

    def plans(self, table: Table) -> list[Plan]:
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
        return {self.panel.plan: told, self.panel.base: marked(form)}

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
        yield told | self.panel.busy(True) | {self.panel.sheet: gr.HTML(live={"progress": None})}

    def run(self, values: Values) -> Iterator[gr.HTML]:
        """One update a step. Stop closes this generator at a step, and with it the core's.

        The first update comes before any work: Gradio cancels only what has answered once.
        """
        yield gr.HTML(live={"progress": None})
        with spoken():
            table = self.table(values)
            plans = self.plans(table)
            comparison: Comparison = values[self.panel.comparison]
            comparison.begin(table, self.form.read(values))
            sheet = Sheet(comparison, [plan.numbers.steps for plan in plans], self.personalizer.origin)
            yield gr.HTML(value=sheet.shown())
            seconds = limits_of(self.personalizer).run_seconds
            deadline = Deadline(seconds, "A comparison", "fewer pictures or steps")
            for place, (variant, plan) in enumerate(zip(table.variants, plans, strict=True)):
                album = sheet.album(plan.prompt, plan.words, variant.case.form)
                recording = recording_of(self.personalizer, plan, len(plans))
                request = replace(variant.case.request, recording=recording)
                with closing(self.personalizer.generate(request, photos=comparison.shelf.photos)) as steps:  # type: ignore[type-var]
                    for step in steps:
                        yield sheet.add(place, variant, album, step)
                        if not sheet.finished:
                            deadline.check()

    def rest(self) -> Update:
        """Back to Compare; what is finished stays."""
        return self.panel.busy(False) | {self.panel.sheet: gr.HTML(live=None)}

    def inspect(self, comparison: Comparison, shelf: Shelf, event: gr.EventData) -> gr.HTML:
        """A picture of the sheet goes before the Studio's viewer, and on its shelf for what is made on demand."""
        with spoken():
            shot = comparison.get(event.name).shot
        kept = comparison.shelf.find(shot["name"])
        if kept is not None:
            shelf.add(shot["name"], kept)
        return gr.HTML(value={"run": uuid4().hex, "pictures": [shot], "opened": True})

    def _plan(self, variant: Variant) -> Plan:
        try:
            return self.personalizer.plan(variant.case.request)
        except MMDiffError as error:
            raise blamed(error, variant.labels, english()) from error


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
