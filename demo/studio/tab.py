"""The Studio tab: subjects, prompt and settings on the left, the result on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from demo.form.examples import RandomToys, examples_for, vocabulary_of
from demo.live.live_switch import LiveSwitch
from demo.studio import cutout_dialog
from demo.studio.compose_panel import ComposePanel
from demo.studio.cutout_dialog import CutoutDialog
from demo.studio.example_gallery import ExampleGallery
from demo.studio.form_panel import FormPanel
from demo.studio.generate import GenerationRunner
from demo.studio.result_panel import ActionButtons, ResultPanel
from demo.studio.settings_panel import SettingsPanel
from demo.studio.start_panel import StartPanel
from demo.viewer import guide
from demo.web.i18n import text
from demo.words.word_notes import WordReader

if TYPE_CHECKING:
    from demo.server.service import Service
    from demo.viewer.frames import FinishedFrame

TEMPLATES = cutout_dialog.TEMPLATES | guide.TEMPLATES
USUAL_SIDE = 224  # pixels a side of CLIP's image encoders


class StudioTab:
    """The tab that is open at first."""

    title = text("studio")
    place: gr.Tab

    def __init__(self, service: Service, example: FinishedFrame | None = None) -> None:
        known = vocabulary_of(service.backbone)
        encoder = getattr(service.backbone, "image_encoder", None)
        side = USUAL_SIDE if encoder is None else encoder.size
        tokenizers = getattr(service.backbone, "tokenizers", ())
        self.reader = WordReader(known, tokenizers)
        compose = ComposePanel(RandomToys(known=known), side, service.faces, service.photo_files, self.reader)
        self.cutout = CutoutDialog(compose)
        self.form = FormPanel(service, compose, SettingsPanel(service), StartPanel(service.photo_files))
        self.examples = ExampleGallery(compose, examples_for(known))
        self.actions = ActionButtons()
        self.result = ResultPanel(service.limits, example)
        self.live = LiveSwitch(service, self.form, self.result)
        self.generation = GenerationRunner(service, self.form, self.actions, self.result)

    def render(self) -> None:
        """Make the components inside the current layout."""
        with gr.Row(elem_id="studio"):
            with gr.Column(elem_id="left", min_width=320):
                self.form.inspect.render_mode()
                self.examples.render()
                self.form.render()
                self.cutout.render()
                with gr.Column(elem_id="reach"):
                    self.form.render_errors()
                    self.actions.render()
                    self.live.render()
            with gr.Column(elem_id="right", min_width=320):
                gr.HTML('<p class="ahead" role="status"></p>', elem_id="ahead", apply_default_css=False, min_height=1)
                self.result.render()
                guide.guide()

    def listen(self, page: gr.Blocks) -> None:
        """Connect the panels to each other."""
        self.examples.listen(self.form.settings.next_seed)
        self.form.listen(page)
        self.cutout.listen()
        self.result.listen(self.form)
        self.live.listen(page)
        self.generation.listen()
        self.generation.listen_to_returns(page)
