"""The page: its tabs, and how it is served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import gradio as gr
from gradio.i18n import I18nData

from demo import api
from demo.compare import CompareTab
from demo.studio import StudioTab
from demo.texts import languages, text
from demo.theme import STYLE_SHEETS, static, theme
from demo.vote import VoteTab

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer


class Tab(Protocol):
    """A part of the page. ``place`` is where it was rendered, for events of being opened."""

    title: I18nData
    place: gr.Tab

    def render(self) -> None:
        """Make the components inside the current layout."""

    def listen(self, page: gr.Blocks) -> None:
        """Tie them to each other, once all tabs are rendered."""


def build_ui(personalizer: Personalizer, votes: Path | None = None) -> gr.Blocks:
    """The whole page around one loaded model; with ``votes``, the file that they are kept in, people can vote."""
    studio = StudioTab(personalizer)
    compare = CompareTab(personalizer, studio)
    tabs: list[Tab] = [studio, compare]
    if votes is not None:
        tabs.append(VoteTab(personalizer, compare, votes))
    with gr.Blocks(
        title="MM-Diff Studio", analytics_enabled=False, delete_cache=(3600, 86400), fill_width=True
    ) as page:
        gr.HTML(text("masthead"), apply_default_css=False)
        with gr.Tabs(elem_id="tabs"):
            for tab in tabs:
                with gr.Tab(tab.title) as tab.place:
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
    }
