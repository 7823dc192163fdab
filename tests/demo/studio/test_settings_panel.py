"""The numbers and their presets."""

from __future__ import annotations

from dataclasses import replace

import gradio as gr
import pytest

from demo.live.few_steps import FewSteps
from demo.server.limits import local_limits
from demo.server.service import Service
from demo.studio.generate import GenerationRunner
from demo.studio.settings_panel import SettingsPanel
from tests.helpers.stand_in import Defaults, StandIn


def test_a_preset_keeps_the_proportion_of_steps_and_delay(generation: GenerationRunner) -> None:
    settings = generation.form.settings
    now = (6, 1, None)
    usual = (settings.defaults.steps, settings.defaults.start_step)
    assert settings._preset("usual_steps", *now)[:4] == (*usual, None, "own")
    assert settings._preset("many_steps", *now)[:4] == (12, 2, None, "own")
    assert settings._preset("few_steps", *now)[:4] == (3, 0, (6, 1), "unipc")
    settings.few = FewSteps(steps=4, start_step=0)
    assert settings._preset("few_steps", *now)[:4] == (4, 0, (6, 1), "own")
    settings.few = FewSteps(steps=4, start_step=0, scheduler="distilled")
    assert settings._preset("few_steps", *now)[:4] == (4, 0, (6, 1), "distilled")


def test_few_steps_say_that_they_set_the_delay_and_give_it_back(generation: GenerationRunner) -> None:
    settings = generation.form.settings
    *few, note = settings._preset("few_steps", 6, 2, None)
    assert (few, note["visible"]) == ([3, 0, (6, 2), "unipc"], True)
    assert settings._preset("few_steps", 3, 0, (6, 2))[2] == (6, 2)  # clicked again
    *usual, note = settings._preset("usual_steps", 3, 0, (6, 2))
    assert (usual, note["visible"]) == ([6, 2, None, "own"], False)
    assert settings._preset("many_steps", 3, 0, (6, 2))[:2] == (12, 4)
    assert settings._preset("usual_steps", 3, 1, (6, 2))[:2] == (6, 1)  # the delay was changed since
    assert settings._preset("few_steps", 6, 0, None)[4]["visible"] is False  # nothing was set
    assert settings._preset("few_steps", None, 2, None)[2] is None  # an empty field


def test_only_sizes_that_the_weights_were_not_made_for_are_warned_of(generation: GenerationRunner) -> None:
    settings = generation.form.settings
    settings.sizes = replace(settings.sizes, trained=((256, 256), (320, 192)))
    shown = {size: settings._warn(*size)["visible"] for size in ((256, 256), (320, 192), (192, 320), (384, 384))}
    assert shown == {(256, 256): False, (320, 192): False, (192, 320): True, (384, 384): True}
    assert settings._warn(None, 256)["visible"] is False  # an empty field is an error of its own


@pytest.mark.parametrize("few", [True, False])
def test_a_model_for_few_steps_has_no_preset_for_fewer(few: bool) -> None:
    settings = SettingsPanel(Service(StandIn(defaults=Defaults(few=few)), local_limits()))
    with gr.Blocks():
        settings.render()
    assert ("few_steps" in settings.presets) is not few
    assert {"usual_steps", "many_steps"} <= set(settings.presets)
