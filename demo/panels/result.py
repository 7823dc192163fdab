"""Generate, Stop, and the result with its heatmaps."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demo.viewer import viewer, waiting

Update = dict[Any, Any]


class ActionPanel:
    """The two buttons: one is seen at a time."""

    def render(self) -> None:
        """Make the components inside the current layout."""
        with gr.Column(elem_id="actions"):
            self.generate = gr.Button("Generate", variant="primary", size="lg", elem_id="generate")
            self.stop = gr.Button("Stop", variant="stop", size="lg", visible=False, elem_id="stop")

    def busy(self, busy: bool) -> Update:
        """Show Stop while something runs."""
        return {self.generate: gr.update(visible=not busy), self.stop: gr.update(visible=busy)}


class ResultPanel:
    """The viewer, and a line for what Gradio itself has to say: the place in the queue."""

    def render(self) -> None:
        """Make the components inside the current layout."""
        self.queue = gr.HTML("", elem_id="queue", elem_classes="queue", apply_default_css=False, min_height=1)
        self.viewer = viewer()

    def starting(self) -> Update:
        """Between the click and the first step."""
        return {self.viewer: waiting("Waiting for the first step …")}

    def idle(self) -> Update:
        """Nothing runs; finished pictures stay."""
        return {self.viewer: gr.HTML(live=None)}
