"""The page: its tabs, and how it is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import gradio as gr
from gradio.i18n import I18nData

from demo import api
from demo.about import AboutTab
from demo.mcp import mcp_server
from demo.studio import StudioTab
from demo.texts import languages, text
from demo.theme import STYLE_SHEETS, static, theme

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer


class Tab(Protocol):
    """A part of the page: ``render()`` makes its components, ``listen()`` ties them to each other."""

    @property
    def title(self) -> I18nData:
        """What stands on the tab."""

    def render(self) -> None:
        """Make the components inside the current layout."""

    def listen(self, page: gr.Blocks) -> None:
        """Tie them to each other and to the page."""


def build_ui(personalizer: Personalizer) -> gr.Blocks:
    """The whole page around one loaded model."""
    studio = StudioTab(personalizer)
    tabs: list[Tab] = [studio, AboutTab(personalizer, studio.result)]
    with gr.Blocks(
        title="MM-Diff Studio", analytics_enabled=False, delete_cache=(3600, 86400), fill_width=True
    ) as page:
        gr.HTML(text("masthead"), apply_default_css=False)
        with gr.Tabs(elem_id="tabs"):
            for tab in tabs:
                with gr.Tab(tab.title):
                    tab.render()
        gr.HTML(text("spoken"), elem_id="spoken", apply_default_css=False)
        for tab in tabs:
            tab.listen(page)
        api.register(personalizer)
    return page.queue(max_size=32, default_concurrency_limit=8)


def launch_options() -> dict[str, Any]:
    """What ``Blocks.launch`` needs for this page wherever it is served."""
    return {
        "theme": theme(),
        "css_paths": list(STYLE_SHEETS),
        "js": static("studio.js"),
        "i18n": languages(),
        "footer_links": ["api", "settings"],
        "run_history": False,
        "enable_monitoring": False,
        "max_file_size": "40mb",
        "mcp_server": mcp_server(),
    }
