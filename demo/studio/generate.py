"""What Generate and Stop do: from the fields to a plan, and from its steps to the viewer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import gradio as gr
from gradio.components import Component

from demo.form.form import Form
from demo.form.validation import first_blocking
from demo.server.error_messages import user_facing_errors
from demo.server.service import MODEL_QUEUE
from demo.studio.form_panel import FormPanel
from demo.studio.result_panel import ActionButtons, ResultPanel
from demo.studio.settings_panel import random_seed
from demo.viewer.history import History
from demo.viewer.viewer import RunPresenter, waiting_update
from demo.web.events import WITH_MESSAGES, Update
from demo.web.run_buttons import stop_on_click, when_over

if TYPE_CHECKING:
    from demo.server.service import Service
    from mmdiff_core.generation.request_plan import Plan

Values = Mapping[Component, Any]


@dataclass(frozen=True)
class Planned:
    """What a click on Generate is going to make."""

    form: Form
    plan: Plan


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
            {*self.form.fields, settings.next_seed},
            [*resting, self.form.errors, settings.seed, settings.next_seed, settings.last_seed, settings.reuse],
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
        when_over(run, self.rest, resting)
        stop_on_click(self.actions.stop, run)

    def check(self, values: Values) -> Iterator[Update]:
        """Make the plan and keep it, or show errors beside the fields, in which case nothing runs or changes."""
        form = self.form.read(values)
        seeded = form
        settings = self.form.settings
        if values[settings.fresh]:
            chosen = values[settings.next_seed]
            seeded = replace(form, settings=replace(form.settings, seed=random_seed() if chosen is None else chosen))
        with user_facing_errors():
            plan, errors = self.form.plan(seeded)
        if plan is None:
            yield {self.form.errors: self.form.errors_record(form, errors, attempt=uuid4().hex)}
            # Keeps the run from starting; its sentence stands on the page already.
            raise gr.Error(first_blocking(errors).text, visible=False, print_exception=False)  # type: ignore[union-attr]
        seed = plan.request.seeds[0]
        update = self.actions.busy(True) | self.result.starting() | settings.ran(seed)
        update |= {
            settings.seed: seed,
            settings.next_seed: None,
            self.form.errors: self.form.errors_record(form, errors),
        }
        yield update | {self.actions.planned: Planned(seeded, plan)}

    def run(self, planned: Planned, history: History) -> Iterator[gr.HTML]:
        """Yield one update a step. Stop closes this generator at a step, and with it the core's.

        The first update comes before any work: Gradio cancels only what has answered once.
        """
        yield waiting_update("looking_at_photos")
        with user_facing_errors():
            plan = planned.plan
            reader = self.form.compose.reader
            presenter = RunPresenter(plan.prompt, plan.words, planned.form, history, self.service.origin, reader)
            with closing(self.service.run(plan, photos=history.photos)) as steps:  # type: ignore[type-var]
                for step in steps:
                    yield presenter.add(step)

    def rest(self) -> Update:
        """Show Generate again; what is finished stays."""
        return self.actions.busy(False) | self.result.idle() | {self.actions.planned: None}
