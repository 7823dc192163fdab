"""The Studio: its panels share the service, and what the loaded model knows decides what is offered."""

from __future__ import annotations

from dataclasses import replace

import gradio as gr
import pytest

from demo.form.examples import EXAMPLES
from demo.server.limits import local_limits
from demo.server.service import Service
from demo.studio.tab import USUAL_SIDE, StudioTab
from tests.helpers.faces import Squares
from tests.helpers.stand_in import Backbone, StandIn


def _tab(model: StandIn) -> StudioTab:
    tab = StudioTab(Service(model, local_limits()))  # type: ignore[arg-type]
    with gr.Blocks():
        tab.render()
    return tab


def test_the_cards_share_the_service_s_photos() -> None:
    tab = _tab(StandIn())
    service = tab.form.service
    assert {id(card.photo_files) for card in tab.form.compose.cards} == {id(service.photo_files)}
    assert tab.generation.service is service
    assert {card.side for card in tab.form.compose.cards} == {USUAL_SIDE}


@pytest.mark.slow
def test_faces_are_asked_for_only_where_the_adapter_reads_them() -> None:
    assert all(card.face_picker.visible is False for card in _tab(StandIn()).form.compose.cards)
    assert all(card.face_picker.visible for card in _tab(StandIn(faces=Squares())).form.compose.cards)


def test_a_model_of_the_wide_world_is_offered_every_example() -> None:
    wide = StandIn(backbone=replace(Backbone(), vocabulary=None))  # type: ignore[arg-type]
    assert len(_tab(wide).examples.examples) == len(EXAMPLES)
    assert len(_tab(StandIn()).examples.examples) < len(EXAMPLES)
