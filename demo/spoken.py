"""Errors of ours, said on the page in their own sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from mmdiff_core.errors import MMDiffError


@contextmanager
def spoken() -> Iterator[None]:
    """Say an error of ours in its own sentence; anything else stays what it is."""
    try:
        yield
    except MMDiffError as error:
        raise gr.Error(str(error), duration=15, print_exception=False) from error
