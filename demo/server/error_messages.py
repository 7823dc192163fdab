"""Errors as sentences for the page: nothing of the server's inside reaches a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import gradio as gr

from demo.server.event_log import EventLog
from mmdiff_core.atomic_files import named_disk_errors
from mmdiff_core.errors import MMDiffError
from mmdiff_core.numeric_checks import named_memory_errors

TEMP_FILE = "the temporary file"  # messages do not tell visitors its path


@contextmanager
def user_facing_errors(event_log: EventLog | None = None) -> Iterator[None]:
    """Turn errors into messages on the page: ours with their sentence, others with their number in the log."""
    try:
        with named_disk_errors(TEMP_FILE), named_memory_errors():
            yield
    except gr.Error:
        raise
    except MMDiffError as error:
        raise gr.Error(str(error), duration=15, print_exception=False) from error
    except Exception as error:  # the outermost place: the visitor gets a sentence in any case
        number = uuid4().hex[:8]
        (event_log or EventLog()).unhandled(number, error)
        message = f"Something went wrong on the server. Nothing of yours is lost: try again. (number {number})"
        raise gr.Error(message, duration=15, print_exception=False) from None
