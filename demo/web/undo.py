"""What a click replaced in the fields can be had back: a toast with *Undo*, and Ctrl+Z outside of text fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict
from uuid import uuid4

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from demo.server.sessions import claim
from demo.web.events import Update
from demo.web.static_files import scripts, static

MAX_STEPS = 20
NO_GAPS: Mapping[str, str | int] = {}
Values = Mapping[Any, Any]


@dataclass(frozen=True)
class UndoStep:
    """What fields held before a click, and texts that it wrote, by the fields' ids.

    A text is taken back only where it still stands: what was typed since is worth more.
    """

    before: Mapping[int, Any]
    written: Mapping[int, str]


class UndoRecord(TypedDict):
    """For the page: the key of the text that says what was done, empty where nothing is to be said.

    ``said`` is a message from the server that is shown in its place; ``gaps`` are what the text names. ``order``
    differs with every record, and ``steps`` counts what can be undone.
    """

    what: str
    said: str
    gaps: Mapping[str, str | int]
    order: str
    steps: int


class Undo:
    """The steps of a session that can be undone, the last one last, and the toast."""

    def render(self) -> None:
        """Make the components inside the current layout."""
        self.stack = gr.State(())
        self.toast = gr.HTML(
            _record("", ()),
            html_template=static("web/undo.html"),
            js_on_load=scripts("web/free_place", "web/undo"),
            elem_id="undo",
            apply_default_css=False,
        )

    @property
    def parts(self) -> tuple[Component, ...]:
        """Further outputs of an event whose update goes through :meth:`keep`; the first is an input of it, too."""
        return (self.stack, self.toast)

    def around(self, handler: Callable[[Values], Update], what: str) -> Callable[[Values], Update]:
        """Return a handler whose update can be undone; see :meth:`keep`."""

        def handle(values: Values) -> Update:
            return self.keep(values, handler(values), what)

        return handle

    def keep(
        self, values: Values, update: Update, what: str, always: bool = False, said: str = "", **gaps: str | int
    ) -> Update:
        """Return an update that can be undone.

        Args:
            values: the inputs of the event, :attr:`stack` among them; other fields cannot be had back.
            update: what the event writes.
            what: the key of the text that says what was done.
            always: say it in any case, not only where a text or photos were replaced.
            said: a message that takes its place, and is said even where nothing was replaced.
            gaps: what that text names.
        """
        before = {field._id: _written(values[field]) for field in update if _differs(values, field, update[field])}
        if not before:
            return update | ({self.toast: gr.HTML(_record("", values[self.stack] or (), said))} if said else {})
        texts = {field._id: given for field, given in update.items() if field._id in before and isinstance(given, str)}
        stack = (*(values[self.stack] or ()), UndoStep(before, texts))[-MAX_STEPS:]
        replaced = always or any(isinstance(held, str | list) and held for held in before.values())
        return update | {
            self.stack: stack,
            self.toast: gr.HTML(_record(what if replaced or said else "", stack, said, gaps)),
        }

    def last(self, values: Values, fields: Iterable[Block]) -> Update:
        """Return the update that undoes the last step.

        Args:
            values: :attr:`stack`, and every field that texts are written to.
            fields: those that may come back.
        """
        stack: tuple[UndoStep, ...] = values[self.stack] or ()
        update: Update = {self.stack: stack[:-1], self.toast: gr.HTML(_record("", stack[:-1]))}
        step = stack[-1] if stack else UndoStep({}, {})
        for field in fields:
            if field._id not in step.before:
                continue
            if field in values and values[field] != step.written.get(field._id, values[field]):
                continue  # something else was typed since
            held = step.before[field._id]
            update[field] = held
            if isinstance(held, list):
                claim(*(path for path in held if isinstance(path, str)))
        return update


def _record(
    what: str, stack: tuple[UndoStep, ...], said: str = "", gaps: Mapping[str, str | int] = NO_GAPS
) -> UndoRecord:
    return {"what": what, "said": said, "gaps": dict(gaps), "order": uuid4().hex, "steps": len(stack)}


def _written(held: Any) -> Any:
    """What a field holds as it is written to it: of a gallery the paths."""
    if isinstance(held, list) and all(isinstance(entry, tuple) for entry in held):
        return [path for path, _ in held]
    return held


def _differs(values: Values, field: Any, given: Any) -> bool:
    if field not in values or (isinstance(given, dict) and given.get("__type__") == "update"):
        return False
    return (_written(values[field]) or None) != (given or None)
