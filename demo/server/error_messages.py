"""Errors, said on the page in a sentence of ours: nothing of the server's inside reaches a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import gradio as gr

from demo.server.event_log import EventLog
from mmdiff_core.atomic_files import named_disk_errors
from mmdiff_core.errors import MMDiffError
from mmdiff_core.numeric_checks import memory_faults

TEMPORARY = "the temporary file"  # a visitor is not to read where it was


@contextmanager
def user_facing_errors(event_log: EventLog | None = None) -> Iterator[None]:
    """Say an error of ours in its own sentence, and of any other only its number, under which the log has it."""
    try:
        with named_disk_errors(TEMPORARY), memory_faults():
            yield
    except gr.Error:
        raise
    except MMDiffError as error:
        raise gr.Error(str(error), duration=15, print_exception=False) from error
    except Exception as error:  # the outermost place; whatever it is, the visitor gets a sentence
        number = uuid4().hex[:8]
        (event_log or EventLog()).unhandled(number, error)
        says = f"Something went wrong on the server. Nothing of yours is lost: try again. (number {number})"
        raise gr.Error(says, duration=15, print_exception=False) from None
