"""The guide of a first visit: a note that points at the heatmap of the first example."""

from __future__ import annotations

import gradio as gr

from demo.web.i18n import text
from demo.web.static_files import scripts, static

TEMPLATES = {"guide": static("viewer/guide.html")}  # of texts that are put together per language


def guide() -> gr.HTML:
    """Make the note, which is hidden until there is something to point at."""
    return gr.HTML(
        text("guide"), js_on_load=scripts("viewer/guide"), elem_id="guide", apply_default_css=False, min_height=1
    )
