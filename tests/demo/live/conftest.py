"""What the tests of Live share: its switch around a stand-in, and filled fields."""

from __future__ import annotations

import gradio as gr
import pytest

from demo.live.live_switch import LiveSwitch
from demo.studio.generate import GenerationRunner
from tests.demo.studio.conftest import generation, values  # noqa: F401  (fixtures)
from tests.helpers.services import served


@pytest.fixture
def switch(generation: GenerationRunner) -> LiveSwitch:  # noqa: F811
    live = LiveSwitch(served(generation.service), generation.form, generation.result)
    with gr.Blocks():
        live.render()
    return live
