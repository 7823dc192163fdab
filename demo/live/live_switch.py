"""The switch *Live*: while it is on, a slider that moves is answered by a picture with its heatmaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict
from weakref import WeakKeyDictionary

import gradio as gr
from gradio.components import Component

from demo.form.validation import first_blocking
from demo.live.few_steps import FewSteps
from demo.live.live_session import LiveSession, Move, State
from demo.server.error_messages import user_facing_errors
from demo.server.limits import lends_gpus
from demo.server.service import MODEL_QUEUE
from demo.server.sessions import waiting_requests
from demo.viewer.frames import MovedFrame
from demo.viewer.history import History
from demo.web.events import QUIET, Update
from demo.web.static_files import scripts, static
from mmdiff_core.errors import MMDiffError

if TYPE_CHECKING:
    from demo.server.service import Service
    from demo.studio.form_panel import FormPanel
    from demo.studio.result_panel import ResultPanel

Values = Mapping[Component, Any]
# The script of the switch hears of changes by hand, by a button and by an undo alike.
_TELL = "() => void document.dispatchEvent(new CustomEvent('mmdiff-moved'))"


class Offer(TypedDict):
    """Whether the switch is shown. It is not ``possible`` where each picture would cost a visitor's quota.

    ``unguided``: its pictures are made without guidance, whatever the field says.
    """

    possible: bool
    offered: bool
    unguided: bool


class Answer(TypedDict):
    """What became of a move; ``text`` is what is wrong with the fields, or ended the run."""

    run: str
    move: int
    state: State
    text: str


class LiveSwitch:
    """The switch, and what answers the sliders.

    Args:
        service: the model.
        form: the fields.
        result: the viewer and the history.
    """

    def __init__(self, service: Service, form: FormPanel, result: ResultPanel) -> None:
        self.service, self.form, self.result = service, form, result
        self.few = FewSteps.of(service.defaults, service.fast, service.limits)
        self.possible = not lends_gpus()
        self._sessions: WeakKeyDictionary[History, LiveSession] = WeakKeyDictionary()

    def render(self) -> None:
        """Make the switch inside the current layout."""
        self.switch = gr.HTML(
            self.offer(),
            answer=None,
            html_template=static("live/live_switch.html"),
            js_on_load=scripts("live/live_switch"),
            elem_id="live",
            elem_classes="with-photos",
            apply_default_css=False,
            min_height=1,
        )

    def listen(self, page: gr.Blocks) -> None:
        """Tell the switch of changes, and answer it."""
        gr.on([field.change for field in self.fields], None, None, None, js=_TELL, **QUIET)
        inputs, outputs = {self.result.history, *self.form.fields}, [self.result.viewer, self.switch]
        self.switch.move(self.answer, inputs, outputs, trigger_mode="multiple", **QUIET)
        self.switch.keep(self.keep, self.result.history, self.result.viewer, trigger_mode="multiple", **QUIET)
        self.switch.look(self.offer, None, self.switch, **QUIET)
        page.load(self.offer, None, self.switch, **QUIET)

    @property
    def fields(self) -> tuple[Any, ...]:
        """The fields whose change is answered: those that need no photo to be encoded again."""
        settings = self.form.settings
        strengths = (card.strength for card in self.form.compose.cards)
        numbers = (settings.start_step, settings.bound, settings.guidance, settings.rescale, settings.clip_skip)
        return (*strengths, *numbers, settings.seed, settings.parts, settings.balance, self.form.start.strength)

    def session_of(self, history: History) -> LiveSession:
        """Return the session that a history belongs to."""
        if history not in self._sessions:
            self._sessions[history] = LiveSession(self.service, history, self.form.compose.reader)
        return self._sessions[history]

    def offer(self) -> Offer:
        """Say whether the switch is shown: not while others wait for the model."""
        offered = self.possible and not waiting_requests(MODEL_QUEUE)
        return {"possible": self.possible, "offered": offered, "unguided": self.few.is_unguided}

    def answer(self, values: Values, event: gr.EventData) -> Update:
        """Make the picture of a move, with few steps, or say why there is none."""
        history, move = values[self.result.history], Move(str(event.run), int(event.move))
        session = self.session_of(history)
        if not self.possible or not session.begin(move):
            return self._said(move, "superseded")
        form = self.form.read(values)
        few = replace(form, settings=self.few.applied(form.settings, self.service.defaults.steps))
        blocking = first_blocking(self.form.judge(few))
        if blocking is not None:
            return self._said(move, "invalid", blocking.text)
        try:
            plan = self.service.plan(self.form.request(few))
        except MMDiffError as error:
            return self._said(move, "invalid", str(error))
        try:
            with user_facing_errors():
                frame, state = session.make(move, form, plan)
        except gr.Error as error:
            return self._said(move, "failed", str(error.message))
        return self._said(move, state, frame=frame)

    def keep(self, history: History, event: gr.EventData) -> Any:
        """Put the last picture into the history; what runs ends where the switch is off."""
        session = self.session_of(history)
        if not event.on:
            session.end()
        with user_facing_errors():
            value = session.keep()
        return gr.skip() if value is None else gr.HTML(value=value)

    def _said(self, move: Move, state: State, text: str = "", frame: MovedFrame | None = None) -> Update:
        answer: Answer = {"run": move.run, "move": move.number, "state": state, "text": text}
        shown = gr.skip() if frame is None else gr.HTML(live=frame)
        return {self.result.viewer: shown, self.switch: gr.skip() if state == "superseded" else gr.HTML(answer=answer)}
