"""What the tests of Vote share."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from demo.compare.tab import CompareTab
from demo.studio.tab import StudioTab
from demo.vote.tab import VoteTab
from tests.helpers.stand_in import StandIn


@pytest.fixture
def tab(tmp_path: Path) -> VoteTab:
    model = StandIn()
    compare = CompareTab(model, StudioTab(model))  # type: ignore[arg-type]
    tab = VoteTab(model, compare, tmp_path / "votes.db")  # type: ignore[arg-type]
    with gr.Blocks():
        tab.render()
    return tab
