"""The Compare tab: one request in variants, beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from demo.compare.panel import ComparePanel
from demo.compare.run import ComparisonRunner
from demo.studio.tab import StudioTab
from demo.web.i18n import text

if TYPE_CHECKING:
    from demo.server.service import Service


class CompareTab:
    """Takes what stands in the Studio; its pictures open in the Studio's viewer."""

    title = text("compare")
    place: gr.Tab

    def __init__(self, service: Service, studio: StudioTab) -> None:
        self.studio = studio
        self.panel = ComparePanel(service)
        self.runner = ComparisonRunner(service, studio.form, self.panel, studio.result)

    def render(self) -> None:
        """Make the components inside the current layout."""
        self.panel.render()

    def listen(self, page: gr.Blocks) -> None:
        """Tie the tab to the Studio."""
        self.panel.listen(page)
        self.runner.listen()
        self.runner.listen_to_returns(self.studio.generation.returned)
        self.runner.opened(self.place)
        self.panel.listen_to_files(self.studio.result.open)
