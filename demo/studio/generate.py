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
from demo.server.error_messages import spoken
from demo.server.limits import limits_of
from demo.server.service import GPU
from demo.studio.form_panel import FormPanel
from demo.studio.result_panel import ActionPanel, ResultPanel
from demo.studio.settings_panel import random_seed
from demo.viewer.map_budget import recording_of
from demo.viewer.viewer import Album, waiting
from demo.web.events import SPEAKING, Update
from demo.web.run_buttons import at_rest, stopped_by

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer

Values = Mapping[Component, Any]


class Generation:
    """What Generate and Stop do."""

    def __init__(self, personalizer: Personalizer, form: FormPanel, actions: ActionPanel, result: ResultPanel) -> None:
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
            **SPEAKING,
        )
        run = checked.success(
            self.run,
            self.form.fields | {self.result.shelf},
            self.result.viewer,
            concurrency_limit=1,
            concurrency_id=GPU,
            show_progress="minimal",
            show_progress_on=self.result.queue,
            api_visibility="private",
        )
        at_rest(run, self.rest, resting)
        stopped_by(self.actions.stop, run)

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
        yield waiting("looking_at_photos")
        form = self.form.read(values)
        with spoken():
            request = form.request(limits_of(self.personalizer))
            plan = self.personalizer.plan(request)
            request = replace(request, recording=recording_of(self.personalizer, plan))
            shelf = values[self.result.shelf]
            album = Album(plan.prompt, plan.words, form, shelf, self.personalizer.origin)
            with closing(self.personalizer.generate(request, photos=shelf.photos)) as steps:  # type: ignore[type-var]
                for step in steps:
                    yield album.add(step)

    def rest(self) -> Update:
        """Back to Generate; what is finished stays."""
        return self.actions.busy(False) | self.result.idle()
