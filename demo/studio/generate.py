"""What Generate and Stop do: from the fields to a plan, and from its steps to the viewer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import gradio as gr
from gradio.components import Component

from demo.form.browser_draft import load_key_script, save_key_script
from demo.form.form import Form
from demo.form.validation import first_blocking
from demo.inspect.inspect_panel import PROMPT_ALONE
from demo.server.error_messages import user_facing_errors
from demo.server.service import MODEL_QUEUE
from demo.server.sessions import is_connected
from demo.studio.form_panel import FormPanel
from demo.studio.result_panel import ActionButtons, ResultPanel
from demo.studio.settings_panel import random_seed
from demo.viewer.history import History
from demo.viewer.job import Job
from demo.viewer.kept_histories import key_record
from demo.viewer.viewer import RunPresenter, restored_value, waiting_update
from demo.web.events import QUIET, WITH_MESSAGES, Update
from demo.web.run_buttons import stop_on_click, when_over

if TYPE_CHECKING:
    from demo.server.service import Service
    from demo.server.zero_gpu import AnyStep
    from mmdiff_core.generation.request_plan import Plan
    from mmdiff_core.inspection.token_collector import TokenRecording

Values = Mapping[Component, Any]


@dataclass(frozen=True)
class Planned:
    """What a click on Generate is going to make."""

    form: Form
    plan: Plan
    tokens: TokenRecording | None = None  # what is recorded of an inspected prompt


class GenerationRunner:
    """What Generate and Stop do."""

    def __init__(self, service: Service, form: FormPanel, actions: ActionButtons, result: ResultPanel) -> None:
        self.service = service
        self.form = form
        self.actions = actions
        self.result = result

    def listen(self) -> None:
        """Check, then generate, then rest; Stop may come between."""
        settings = self.form.settings
        resting = [self.actions.generate, self.actions.stop, self.actions.planned, self.result.viewer]
        checked = self.actions.generate.click(
            self.check,
            {*self.form.kept_fields, settings.next_seed},
            [
                *(*resting, self.form.errors, settings.seed, settings.next_seed, settings.last_seed, settings.reuse),
                *(*self.form.compose.names, *self.form.compose.undo.parts),
            ],
            **WITH_MESSAGES,
        )
        run = checked.success(
            self.run,
            [self.actions.planned, self.result.history],
            self.result.viewer,
            concurrency_limit=1,
            concurrency_id=MODEL_QUEUE,
            show_progress="minimal",
            show_progress_on=self.result.queue,
            api_visibility="private",
        )
        when_over(run, self.rest, resting, self.result.history)
        stop_on_click(self.actions.stop, run)
        self.actions.stop.click(self.halt, self.result.history, None, **QUIET)

    def listen_to_returns(self, page: gr.Blocks) -> None:
        """Show a page that is opened again its pictures and, to its end, the run that has gone on meanwhile."""
        result, shown = self.result, [self.result.viewer, self.actions.generate, self.actions.stop]
        self.returned = page.load(
            self.come_back, result.keys, [result.keys, result.history, *shown], js=load_key_script(), **QUIET
        )
        self.returned.then(None, result.keys, None, js=save_key_script(), **QUIET)
        options = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
        followed = self.returned.then(self.follow, result.history, shown, **options)
        followed.failure(self.rest, result.history, [*shown, self.actions.planned], **QUIET)

    def check(self, values: Values) -> Iterator[Update]:
        """Make the plan and keep it, or show errors beside the fields, in which case nothing runs or changes."""
        named = {} if values[self.form.inspect.mode] == PROMPT_ALONE else self.form.compose.name_update(values)
        form = self.form.read({**values, **named})
        seeded = form
        settings = self.form.settings
        if values[settings.fresh]:
            chosen = values[settings.next_seed]
            seeded = replace(form, settings=replace(form.settings, seed=random_seed() if chosen is None else chosen))
        with user_facing_errors():
            plan, errors = self.form.plan(seeded)
        if plan is None:
            yield named | {self.form.errors: self.form.errors_record(form, errors, attempt=uuid4().hex)}
            # Keeps the run from starting; its sentence stands on the page already.
            raise gr.Error(first_blocking(errors).text, visible=False, print_exception=False)  # type: ignore[union-attr]
        seed = plan.request.seeds[0]
        update = named | self.actions.busy(True) | self.result.starting() | settings.ran(seed)
        update |= {
            settings.seed: str(seed),
            settings.next_seed: None,
            self.form.errors: self.form.errors_record(form, errors),
        }
        yield update | {self.actions.planned: Planned(seeded, plan, self.form.tokens(seeded, plan))}

    def run(self, planned: Planned, history: History) -> Iterator[Any]:
        """Yield one update a step. The run itself is the session's: it outlives this generator, unless Stop ends it.

        The first update comes before any work: Gradio cancels only what has answered once.
        """
        yield waiting_update("looking_at_photos" if planned.tokens is None else "waiting_for_first_step")
        with user_facing_errors():
            plan = planned.plan
            reader = self.form.compose.reader
            presenter = RunPresenter(plan.prompt, plan.words, planned.form, history, self.service.origin, reader)
            steps = self._steps(planned, history)
        job = history.job = Job(steps, presenter)
        yield from job.follow()

    def _steps(self, planned: Planned, history: History) -> Iterator[AnyStep]:
        if planned.tokens is None:
            return self.service.run(planned.plan, photos=history.photos)
        return self.service.inspect(planned.plan, planned.tokens)

    def halt(self, history: History) -> None:
        """End the session's run at its next step."""
        if history.job is not None:
            history.job.stop()

    def come_back(self, keys: object, request: gr.Request) -> Update:
        """Find the history of the browser that opens the page."""
        key, history = self.result.histories.attach(str(request.session_hash), keys, is_connected)
        update = self.actions.busy(True) if history.is_busy else {}
        value = restored_value(history)
        shown = {self.result.viewer: gr.HTML(value=value)} if value["pictures"] else {}
        return {self.result.keys: key_record(key), self.result.history: history} | shown | update

    def follow(self, history: History) -> Iterator[Update]:
        """Yield the updates of a run that was there before the page."""
        if history.job is None or not history.is_busy:
            yield {self.result.viewer: gr.skip()}
            return
        for update in history.job.follow():
            yield {self.result.viewer: update}
        yield self.actions.busy(False) | self.result.idle(history)

    def rest(self, history: History) -> Update:
        """Show Generate again; what is finished stays."""
        return self.actions.busy(False) | self.result.idle(history) | {self.actions.planned: None}
