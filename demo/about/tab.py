"""The About tab: what MM-Diff is, with the shapes of the last picture, and what the loaded weights know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from demo.about.model_facts import PageFacts, merged_facts, model_facts, run_facts, weight_facts
from demo.form.examples import vocabulary_of
from demo.studio.result_panel import ResultPanel
from demo.web.events import QUIET
from demo.web.i18n import text
from demo.web.static_files import static
from mmdiff_core.results import GeneratedImage

if TYPE_CHECKING:
    from demo.server.service import Service

TEMPLATES = {"about_page": static("about/tab.html")}  # of texts that are put together per language


class AboutTab:
    """A text with a diagram, whose numbers a script fills in.

    Args:
        service: the loaded model.
        result: has the session's history.
    """

    title = text("about")
    place: gr.Tab

    def __init__(self, service: Service, result: ResultPanel) -> None:
        self.service = service
        self.result = result

    def render(self) -> None:
        """Make the components inside the current layout."""
        gr.HTML(text("about_page"), elem_id="about-page", apply_default_css=False)
        self.facts = model_facts(self.page_facts(None))

    def listen(self, page: gr.Blocks) -> None:
        """Show the shapes of the newest picture whenever the tab is opened."""
        self.facts.look(lambda history: self.page_facts(history.newest), self.result.history, self.facts, **QUIET)

    def page_facts(self, picture: GeneratedImage | None) -> PageFacts:
        """Return everything that the page's script fills in."""
        model = self.service
        summary = model.summary(None if picture is None else picture.image.size)
        weights = weight_facts(model.backbone.display_name, summary, model.sizes, vocabulary_of(model.backbone))
        return merged_facts(run_facts(summary, picture, model.defaults.start_step, model.defaults.steps), weights)
