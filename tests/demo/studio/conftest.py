"""What the tests of the studio share: its panels around a stand-in, and filled fields."""

from __future__ import annotations

import gradio as gr
import pytest

from demo.form.examples import RandomToys
from demo.studio.compose_panel import ComposePanel
from demo.studio.form_panel import FormPanel
from demo.studio.generate import GenerationRunner
from demo.studio.result_panel import ActionButtons, ResultPanel
from demo.studio.settings_panel import SettingsPanel
from demo.studio.start_panel import StartPanel
from demo.viewer.history import History
from tests.helpers.stand_in import StandIn, Values


@pytest.fixture
def generation() -> GenerationRunner:
    model = StandIn()
    form = FormPanel(model, ComposePanel(RandomToys()), SettingsPanel(model), StartPanel(model.photo_files))
    actions, result = ActionButtons(), ResultPanel()
    with gr.Blocks():
        form.inspect.render_mode()
        for panel in (form, actions, result):
            panel.render()
        form.render_errors()
    return GenerationRunner(model, form, actions, result)


@pytest.fixture
def values(generation: GenerationRunner, photo: str) -> Values:
    """Two subjects in the first two cards."""
    compose = generation.form.compose
    values: Values = {field: field.value for field in generation.form.fields}
    values |= {compose.count: 3, compose.prompt: " a cat and a robot ", generation.form.settings.seed: 4}
    values |= {generation.form.settings.fresh: False, generation.form.settings.next_seed: None}
    values[generation.result.history] = History()
    values |= {generation.form.start.rejected: ()}
    for card, name in zip(compose.cards, ("cat", "robot"), strict=False):
        values |= {card.name: name, card.photos: [(photo, None)]}
    for card in compose.cards[2:]:
        values |= {card.name: None, card.photos: None}  # as never-shown fields are
    return values
