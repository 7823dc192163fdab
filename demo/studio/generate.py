"""From widgets to a request and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import gradio as gr
from gradio.components import Component

from demo.form.validation import first_blocking
from demo.server.error_messages import user_facing_errors
from demo.server.limits import limits_of
from demo.server.service import MODEL_QUEUE
from demo.studio.form_panel import FormPanel
from demo.studio.result_panel import ActionButtons, ResultPanel
from demo.studio.settings_panel import random_seed
from demo.viewer.map_budget import recording_for_plan
from demo.viewer.viewer import RunPresenter, waiting_update
from demo.web.events import WITH_MESSAGES, Update
from demo.web.run_buttons import stop_on_click, when_over

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer

Values = Mapping[Component, Any]


class GenerationRunner:
    """What Generate and Stop do."""

    def __init__(
        self, personalizer: Personalizer, form: FormPanel, actions: ActionButtons, result: ResultPanel
    ) -> None:
        self.personalizer = personalizer
        self.form = form
        self.actions = actions
        self.result = result

    def listen(self) -> None:
        """Check, then generate, then rest; Stop may come between."""
        settings = self.form.settings
        resting = [self.actions.generate, self.actions.stop, self.result.viewer]
        checked = self.actions.generate.click(
            self.check,
            self.form.fields,
            [*resting, self.form.faults, settings.seed, settings.last_seed, settings.reuse],
            **WITH_MESSAGES,
        )
        run = checked.success(
            self.run,
            self.form.fields | {self.result.history},
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
        """Say beside the fields what is wrong with them; nothing runs and nothing is changed then."""
        form = self.form.read(values)
        faults = self.form.judge(form)
        blocking = first_blocking(faults)
        if blocking is not None:
            yield {self.form.faults: self.form.told(form, faults, asked=uuid4().hex)}
            # Keeps the run from starting; its sentence stands on the page already.
            raise gr.Error(blocking.text, visible=False, print_exception=False)
        settings = self.form.settings
        seed = random_seed() if values[settings.fresh] else int(values[settings.seed])
        update = self.actions.busy(True) | self.result.starting() | settings.ran(seed)
        yield update | {settings.seed: seed, self.form.faults: self.form.told(form, faults)}

    def run(self, values: Values) -> Iterator[gr.HTML]:
        """One update a step. Stop closes this generator at a step, and with it the core's.

        The first update comes before any work: Gradio cancels only what has answered once.
        """
        yield waiting_update("looking_at_photos")
        form = self.form.read(values)
        with user_facing_errors():
            request = form.request(limits_of(self.personalizer))
            plan = self.personalizer.plan(request)
            request = replace(request, recording=recording_for_plan(self.personalizer, plan))
            history = values[self.result.history]
            presenter = RunPresenter(plan.prompt, plan.words, form, history, self.personalizer.origin)
            with closing(self.personalizer.generate(request, photos=history.photos)) as steps:  # type: ignore[type-var]
                for step in steps:
                    yield presenter.add(step)

    def rest(self) -> Update:
        """Back to Generate; what is finished stays."""
        return self.actions.busy(False) | self.result.idle()
