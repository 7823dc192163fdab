"""One panel per part of the page. ``render()`` makes its components, ``listen()`` ties them to each other."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.events import Dependency

from demo.texts import text

Update = dict[Any, Any]

# For events that only touch the page: answered at once, without a spinner, and no business of other programs.
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# The same for events that may have something to say: Gradio shows messages of queued events only.
SPEAKING: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}


def buttons(start: gr.Button, stop: gr.Button, busy: bool) -> Update:
    """One of the two is seen: ``stop`` while something runs."""
    return {start: gr.update(visible=not busy), stop: gr.update(value=text("stop"), visible=busy)}


def stopped_by(stop: gr.Button, run: Dependency) -> None:
    """``stop`` ends a run at its next step, and says so until then: Gradio would ignore a run that was begun before."""
    stop.click(lambda: gr.update(value=text("stopping")), None, stop, cancels=[run], **QUIET)


def at_rest(run: Dependency, rest: Any, outputs: list[Any]) -> tuple[Dependency, Dependency]:
    """``rest`` whenever a run is over: when it came to its end or was stopped, and when it failed."""
    return run.then(rest, None, outputs, **QUIET), run.failure(rest, None, outputs, **QUIET)
