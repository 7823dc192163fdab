"""The page: panels put together, and how it is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from demo import api
from demo.examples import ToyBox, vocabulary
from demo.handlers import Generation
from demo.panels.compose import ComposePanel
from demo.panels.examples import ExamplePanel
from demo.panels.result import ActionPanel, ResultPanel
from demo.panels.settings import SettingsPanel
from demo.theme import STYLE_SHEETS, static, theme

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer

_HEADER = """<header class="masthead"><h1>MM-Diff Studio</h1>
<p>Your subjects in a new picture, and a heatmap of where the model put each of them.</p></header>"""


def build_ui(personalizer: Personalizer) -> gr.Blocks:
    """The whole page around one loaded model."""
    note = vocabulary() if personalizer.backbone.name == "toybox" else ""
    compose, settings = ComposePanel(ToyBox(), note), SettingsPanel(personalizer)
    actions, result = ActionPanel(), ResultPanel()
    examples = ExamplePanel(compose)
    with gr.Blocks(
        title="MM-Diff Studio", analytics_enabled=False, delete_cache=(3600, 86400), fill_width=True
    ) as page:
        gr.HTML(_HEADER, apply_default_css=False)
        with gr.Row(elem_id="studio"):
            with gr.Column(elem_id="left", min_width=320):
                examples.render()
                compose.render()
                settings.render()
                actions.render()
            with gr.Column(elem_id="right", min_width=320):
                result.render()
        for panel in (examples, compose, settings, Generation(personalizer, compose, settings, actions, result)):
            panel.listen()
        api.register(personalizer)
    return page.queue(max_size=32, default_concurrency_limit=8)


def launch_options() -> dict[str, Any]:
    """What ``Blocks.launch`` needs for this page wherever it is served."""
    return {
        "theme": theme(),
        "css_paths": list(STYLE_SHEETS),
        "js": static("studio.js"),
        "footer_links": ["api", "settings"],
        "run_history": False,
        "enable_monitoring": False,
        "max_file_size": "40mb",
    }
