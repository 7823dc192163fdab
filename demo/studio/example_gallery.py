"""Complete examples: one click fills in subjects, photos and prompt, and makes the picture."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component

from demo.form.examples import EXAMPLES, StudioExample
from demo.studio.compose_panel import ComposePanel
from demo.web.cached_files import data_url
from demo.web.events import QUIET, Update
from demo.web.i18n import text
from demo.web.static_files import scripts

_FILLED = "() => { document.dispatchEvent(new CustomEvent('mmdiff-filled')); }"  # the script goes on to Generate


class ExampleGallery:
    """A row of cards with a thumbnail of every toy."""

    def __init__(self, compose: ComposePanel, examples: tuple[StudioExample, ...] = EXAMPLES) -> None:
        self.compose = compose
        self.examples = examples

    def render(self) -> None:
        """Make the component inside the current layout."""
        cards = "".join(_card(number, example) for number, example in enumerate(self.examples))
        gr.HTML(text("examples_head"), elem_classes=["section", "with-photos"], apply_default_css=False)
        self.row = gr.HTML(
            f'<div class="examples">{cards}</div>',
            js_on_load=scripts("studio/example_gallery"),
            apply_default_css=False,
            elem_id="examples",
            elem_classes=["section", "with-photos"],
        )

    def listen(self, next_seed: gr.State) -> None:
        """Fill the fields with the example that is clicked, and the state with its seed."""
        self.next_seed = next_seed
        self.row.pick(
            self._pick,
            self.compose.kept_fields,
            [*self.compose.targets(), *self.compose.undo.parts, next_seed],
            queue=False,
            show_progress_on=self.compose.galleries(),
            api_visibility="private",
        ).then(None, js=_FILLED, **QUIET)

    def _pick(self, event: gr.EventData, values: Mapping[Component, Any]) -> Update:
        content = self.examples[int(event.index)].content()
        filled = self.compose.undo.keep(values, self.compose.fill(content), "undo_example")
        return filled | {self.next_seed: content.seed}


def _card(number: int, example: StudioExample) -> str:
    pictures = "".join(f'<img src="{data_url(thumbnail)}" alt="">' for thumbnail in example.thumbnails())
    return (
        f'<button type="button" class="example" data-example="{number}">'
        f'<span class="faces">{pictures}</span><span>{escape(example.prompt)}</span></button>'
    )
