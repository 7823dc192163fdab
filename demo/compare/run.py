"""What Compare and Stop do on the Compare tab, and how one of its pictures is opened in the Studio's viewer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import Dependency

from demo.compare.grid import Comparison, ComparisonCell, ComparisonGrid, GridStep, waiting_grid_update
from demo.compare.panel import ComparePanel, summary_record
from demo.compare.variants import FormRequest, RequestVariant, VariantError, VariantTable
from demo.form.form import Form, Settings
from demo.form.prompt_words import marked_html
from demo.form.validation import first_blocking
from demo.form.value_types import as_typed, is_number
from demo.server.error_messages import user_facing_errors
from demo.server.service import MODEL_QUEUE, Deadline
from demo.studio.form_panel import FormPanel
from demo.studio.result_panel import ResultPanel
from demo.viewer.frames import ViewerValue
from demo.viewer.history import History
from demo.viewer.job import Job
from demo.viewer.map_budget import with_map_budget
from demo.web.events import QUIET, WITH_MESSAGES, Update
from demo.web.run_buttons import stop_on_click, when_over
from demo.web.tabs import TELL_RUNNING
from mmdiff_core.errors import MMDiffError, SettingsError

if TYPE_CHECKING:
    from demo.server.service import Service
    from mmdiff_core.generation.request_plan import Plan

Values = Mapping[Component, Any]
TO_STUDIO = "() => document.querySelector('#tabs [role=tab]')?.click()"


@dataclass(frozen=True)
class PlannedComparison:
    """What a click on Compare is going to make."""

    form: Form
    table: VariantTable
    plans: Sequence[Plan]
    asked: Mapping[str, Any]  # of the fields


class ComparisonRunner:
    """Reads the Studio's fields and the Compare tab's, and makes the pictures one by one."""

    def __init__(self, service: Service, form: FormPanel, panel: ComparePanel, result: ResultPanel) -> None:
        self.service = service
        self.form = form
        self.panel = panel
        self.result = result
        self.kept: WeakKeyDictionary[History, Comparison] = WeakKeyDictionary()  # as long as the history is

    def listen(self) -> None:
        """Check, then make the pictures, then rest; Stop may come between."""
        panel = self.panel
        resting = [panel.compare, panel.stop, panel.planned, panel.grid]
        checked = panel.compare.click(self.check, self.fields, [*resting, panel.summary, panel.prompt], **WITH_MESSAGES)
        run = checked.success(
            self.run,
            [panel.planned, panel.comparison],
            panel.grid,
            concurrency_limit=1,
            concurrency_id=MODEL_QUEUE,
            show_progress="minimal",
            show_progress_on=panel.queue,
            api_visibility="private",
        )
        self.rested = when_over(run, self.rest, resting, panel.comparison)  # the Vote tab waits for the last picture
        stop_on_click(panel.stop, run)
        panel.stop.click(self.halt, panel.comparison, None, **QUIET)
        gr.on(
            [field.change for field in panel.fields],
            self.review,
            self.fields,
            [panel.summary, panel.prompt],
            trigger_mode="always_last",
            **QUIET,
        )
        # The tab may be open before the browser's draft is in the Studio's fields, whose change it does not notice.
        self.form.recalled.then(self.review, self.fields, [panel.summary, panel.prompt], **QUIET)
        sessions_own: set[Block] = {panel.comparison, self.result.history, *self.form.kept_fields}
        outputs = [self.result.viewer, *self.form.kept_targets()]
        shown = panel.grid.inspect(self.open_picture, sessions_own, outputs, **WITH_MESSAGES)
        shown.success(None, None, None, js=TO_STUDIO, **QUIET)

    def listen_to_returns(self, returned: Dependency) -> None:
        """Show a page that is opened again its comparison and, to its end, the run that has gone on meanwhile.

        Args:
            returned: the event after which the session has its history.
        """
        panel = self.panel
        shown = [panel.grid, panel.compare, panel.stop, panel.returning]
        came = returned.then(self.come_back, self.result.history, [panel.comparison, panel.running, *shown], **QUIET)
        came.then(None, panel.running, None, js=TELL_RUNNING, **QUIET)
        options: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
        followed = panel.returning.tick(self.follow, panel.comparison, shown, **options)
        followed.failure(self.rest, panel.comparison, [*shown, panel.planned], **QUIET)

    def opened(self, tab: gr.Tab) -> None:
        """Review the fields again whenever the tab is opened: the Studio's may have changed."""
        tab.select(self.review, self.fields, [self.panel.summary, self.panel.prompt], **QUIET)

    @property
    def fields(self) -> set[Block]:
        """Inputs of an event that reads everything."""
        return {*self.form.fields, *self.panel.fields}

    def _read(self, values: Values) -> Form:
        """Read the Studio's fields, with the name that Generate would take from the prompt."""
        return self.form.read_with_photos({**values, **self.form.compose.name_in_prompt(values)})

    def table(self, form: Form, values: Values) -> VariantTable:
        """Return every variant that the fields ask for; none of them is planned yet.

        Raises:
            MMDiffError: the first thing that is wrong in the fields.
        """
        blocking = first_blocking(self.form.judge(form))
        if blocking is not None:
            raise SettingsError(f"In the Studio: {blocking.text}")
        request = self.form.request(form)
        return self.panel.table(values, FormRequest(form, replace(request, seeds=request.seeds[:1])))

    def plan(self, table: VariantTable) -> list[Plan]:
        """Plan every variant.

        Raises:
            MMDiffError: of the first variant that cannot be made.
        """
        return [self._plan(variant, len(table.variants)) for variant in table.variants]

    def review(self, values: Values) -> Update:
        """Say how many images the fields ask for, or why there are none yet."""
        form = self._read(values)
        try:
            return self._counted(form, self.table(form, values))
        except MMDiffError as error:
            return {self.panel.summary: summary_record(error=error), self.panel.prompt: marked_html(form)}

    def check(self, values: Values) -> Iterator[Update]:
        """Make the plans and keep them, or say what is wrong, in which case nothing runs or changes."""
        form = self._read(values)
        try:
            table = self.table(form, values)
            plans = self.plan(table)
        except MMDiffError as error:
            refused = summary_record(error=error, attempt=uuid4().hex)
            yield {self.panel.summary: refused, self.panel.prompt: marked_html(form)}
            # Keeps the run from starting; its sentence stands on the page already.
            raise gr.Error(str(error), visible=False, print_exception=False) from error
        planned = PlannedComparison(form, table, plans, self.panel.asked(values))
        update = self._counted(form, table) | self.panel.busy(True)
        yield update | {self.panel.planned: planned, self.panel.grid: waiting_grid_update()}

    def run(self, planned: PlannedComparison, comparison: Comparison) -> Iterator[gr.HTML]:
        """Yield one update a step. The run itself is the session's: it outlives this generator, unless Stop ends it.

        The first update comes before any work: Gradio cancels only what has answered once.
        """
        yield waiting_grid_update()
        yield from self._ended(comparison)
        with user_facing_errors():
            comparison.begin(planned.table, planned.form, planned.asked)
            counts, reader = [plan.numbers.made for plan in planned.plans], self.form.compose.reader
            grid = comparison.grid = ComparisonGrid(comparison, counts, self.service.origin, reader)
            job = comparison.job = Job(self._steps(planned, grid), grid)
        yield gr.HTML(value=grid.value())
        yield from job.follow()

    def _steps(self, planned: PlannedComparison, grid: ComparisonGrid) -> Iterator[GridStep]:
        """Make the pictures one after the other, in the time of one request."""
        deadline: Deadline | None = None
        seconds, photos = self.service.limits.run_seconds, grid.comparison.history.photos
        for place, (variant, plan) in enumerate(zip(planned.table.variants, planned.plans, strict=True)):
            presenter = grid.presenter(plan.prompt, plan.words, variant.case.form)
            with closing(self.service.run(plan, photos=photos)) as steps:  # type: ignore[type-var]
                for step in steps:
                    deadline = deadline or Deadline(seconds, "A comparison", "fewer pictures or steps")
                    yield GridStep(place, variant, presenter, step)
                    if not grid.complete:
                        deadline.check()

    def _ended(self, comparison: Comparison) -> Iterator[gr.HTML]:
        """Wait for the end of a run that Stop was clicked for: the next one must not begin in the middle of it."""
        job = comparison.job
        if job is None or not comparison.is_busy:
            return
        job.stop()
        with suppress(gr.Error):  # which was said
            for _ in job.follow():
                yield waiting_grid_update()

    def halt(self, comparison: Comparison) -> None:
        """End the session's run at its next step."""
        if comparison.job is not None:
            comparison.job.stop()

    def come_back(self, history: History) -> Update:
        """Find the comparison that belongs to a history."""
        comparison = self.kept.setdefault(history, Comparison(self.service.limits))
        shown: Update = {}
        if comparison.grid is not None:
            comparison.grid.claim_files()
            shown = {self.panel.grid: gr.HTML(value=comparison.grid.value())}
        busy = self.panel.busy(True) | {self.panel.returning: gr.Timer(active=True)} if comparison.is_busy else {}
        return {self.panel.comparison: comparison, self.panel.running: {"runs": comparison.is_busy}} | shown | busy

    def follow(self, comparison: Comparison) -> Iterator[Update]:
        """Yield the updates of a run that was there before the page."""
        yield {self.panel.returning: gr.Timer(active=False)}
        if comparison.job is None:
            return
        for update in comparison.job.follow():
            yield {self.panel.grid: update}
        yield self.panel.busy(False) | {self.panel.grid: comparison.job.ended()}

    def rest(self, comparison: Comparison) -> Update:
        """Show Compare again; what is finished stays."""
        ended = gr.HTML(live=None) if comparison.job is None else comparison.job.ended()
        return self.panel.busy(False) | {self.panel.grid: ended, self.panel.planned: None}

    def open_picture(self, values: Values, event: gr.EventData) -> Update:
        """Open a picture of the grid in the Studio: the viewer shows it, and the fields hold what it was made with.

        It also goes into the history, for what is made on demand.
        """
        comparison: Comparison = values[self.panel.comparison]
        history: History = values[self.result.history]
        with user_facing_errors():
            cell = comparison.get(event.name)
        frame = cell.frame
        entry = comparison.history.find(frame["name"])
        if entry is not None:
            history.add(frame["name"], entry)
        value: ViewerValue = {"run": uuid4().hex, "pictures": [frame], "opened": True}
        update = self.form.show(self._as_made(comparison, cell), cell.seed)
        return self.form.replaced(values, update, always=True) | {self.result.viewer: gr.HTML(value=value)}

    def _as_made(self, comparison: Comparison, cell: ComparisonCell) -> Form:
        """What the fields hold for a picture; subjects whose photos were left out keep theirs."""
        case, form = cell.variant.case, comparison.form
        assert form is not None  # begun
        strengths = {slot: subject.scale for slot, subject in zip(case.form.slots, case.request.subjects, strict=True)}
        subjects = [replace(each, strength=strengths.get(each.slot, each.strength)) for each in form.subjects]
        return replace(form, subjects=tuple(subjects), settings=Settings.of(case.request))

    def _plan(self, variant: RequestVariant, count: int) -> Plan:
        try:
            return with_map_budget(self.service.plan(variant.case.request), self.service, count)
        except MMDiffError as error:
            raise VariantError(error, variant.labels) from error

    def _untrained(self, table: VariantTable) -> bool:
        """Whether a variant has a size that the weights were not made for."""
        sizes = self.service.sizes
        requests = [variant.case.request for variant in table.variants]
        width, height = sizes.default
        wanted = {(request.width or width, request.height or height) for request in requests}
        return not wanted <= set(sizes.made_for)

    def _counted(self, form: Form, table: VariantTable) -> Update:
        common = [label for label in _numbers(form) if label[0] not in (table.across, table.down)]
        summary = summary_record(len(table.variants), common=common, untrained=self._untrained(table))
        return {self.panel.summary: summary, self.panel.prompt: marked_html(form)}


def _numbers(form: Form) -> list[list[str]]:
    """Return what the pictures have in common, as labels."""
    settings = form.settings
    given = {
        "seed": settings.seed,
        "steps": settings.steps,
        "guidance": settings.guidance,
        "delay": settings.start_step,
    }
    given |= {"bound": settings.binding} if settings.binding else {}
    numbers = [[key, as_typed(value)] for key, value in given.items() if is_number(value)]
    return [*numbers, *([["sampler", settings.sampler]] if settings.sampler else [])]
