"""From widgets to a request and back. The only place that turns our errors into Gradio's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from demo.form import Form
from demo.panels import QUIET, SPEAKING
from demo.panels.compose import ComposePanel
from demo.panels.result import ActionPanel, ResultPanel
from demo.panels.settings import SettingsPanel, random_seed
from demo.viewer import Album, waiting
from mmdiff_core.errors import MMDiffError

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer

Values = Mapping[Component, Any]
Update = dict[Any, Any]
GPU = "generation"  # everything that uses the model shares this queue: one at a time


@contextmanager
def spoken() -> Iterator[None]:
    """Say an error of ours in its own sentence; anything else stays what it is."""
    try:
        yield
    except MMDiffError as error:
        raise gr.Error(str(error), duration=15, print_exception=False) from error


class Generation:
    """What Generate and Stop do."""

    def __init__(
        self,
        personalizer: Personalizer,
        compose: ComposePanel,
        settings: SettingsPanel,
        actions: ActionPanel,
        result: ResultPanel,
    ) -> None:
        self.personalizer = personalizer
        self.compose = compose
        self.settings = settings
        self.actions = actions
        self.result = result

    def listen(self) -> None:
        """Check, then generate, then rest; Stop may come between."""
        resting = [self.actions.generate, self.actions.stop, self.result.viewer]
        fields: set[Block] = {*self.compose.fields, *self.settings.fields}
        checked = self.actions.generate.click(self.check, fields, [*resting, self.settings.seed], **SPEAKING)
        run = checked.success(
            self.run,
            fields,
            self.result.viewer,
            concurrency_limit=1,
            concurrency_id=GPU,
            show_progress="minimal",
            show_progress_on=self.result.queue,
            api_visibility="private",
        )
        run.then(self.rest, None, resting, **QUIET)
        self.actions.stop.click(self.rest, None, resting, cancels=[run], **QUIET)

    def check(self, values: Values) -> Update:
        """Say at once what is wrong with the fields; nothing is changed then."""
        with spoken():
            self.personalizer.validate(self._form(values).request())
        update = self.actions.busy(True) | self.result.starting()
        return update | {self.settings.seed: random_seed()} if values[self.settings.fresh] else update

    def run(self, values: Values) -> Iterator[gr.HTML]:
        """One update a step. Stop closes this generator at a step, and with it the core's.

        The first update comes before any work: Gradio cancels only what has answered once.
        """
        yield waiting("Looking at the photos …")
        form = self._form(values)
        with spoken():
            request = form.request()
            plan = self.personalizer.validate(request)
            album = Album(plan.prompt, plan.words, form.slots)
            with closing(self.personalizer.generate(request)) as steps:  # type: ignore[type-var]
                for step in steps:
                    yield album.add(step)

    def rest(self) -> Update:
        """Back to Generate; what is finished stays."""
        return self.actions.busy(False) | self.result.idle()

    def _form(self, values: Values) -> Form:
        return self.compose.read(values, self.settings.read(values))
