"""The two buttons of a run: the one that starts it, and Stop, which takes its place."""

from __future__ import annotations

import json
from collections.abc import Callable

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from demo.web.events import QUIET, Update
from demo.web.i18n import text


def busy_update(start: gr.Button, stop: gr.Button, busy: bool) -> Update:
    """Return the update that shows ``stop`` while something runs, else ``start``."""
    return {start: gr.update(visible=not busy), stop: gr.update(value=text("stop"), visible=busy)}


def stop_on_click(stop: gr.Button, run: Dependency) -> None:
    """Let ``stop`` end a run at its next step, and say so until then: Gradio would ignore a click on start before.

    It is said by the browser itself, whatever the server is busy with.
    """
    said = json.dumps({"value": str(text("stopping")), "__type__": "update"})
    stop.click(None, None, stop, js=f"() => ({said})", cancels=[run], **QUIET)


def when_over(
    run: Dependency, rest: Callable[..., Update], outputs: list[Component], inputs: Component | None = None
) -> tuple[Dependency, Dependency]:
    """Call ``rest`` whenever a run is over: finished, stopped or failed."""
    return run.then(rest, inputs, outputs, **QUIET), run.failure(rest, inputs, outputs, **QUIET)
