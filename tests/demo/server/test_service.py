from __future__ import annotations

from dataclasses import replace

import gradio as gr
import pytest

from demo.studio.settings_panel import SettingsPanel
from mmdiff_core.errors import GenerationError, PromptError, SettingsError
from mmdiff_core.types import GenerateRequest
from tests.helpers.services import REQUEST, served
from tests.helpers.stand_in import Defaults, StandIn


def test_it_is_the_model_within_the_limits() -> None:
    service = served(side=256)
    assert service.defaults == StandIn().defaults
    assert service.sizes.largest == 256
    assert [step.step for step in service.generate(REQUEST)] == [1, 2, 3]
    with pytest.raises(SettingsError, match="too many here"):
        served(steps=2).plan(REQUEST)
    with pytest.raises(PromptError):
        service.generate(GenerateRequest("a dog", REQUEST.subjects))  # at once, not at the first step


def test_a_size_that_is_left_open_is_within_the_limits_too() -> None:
    service = served(side=128)  # the model's own is 256
    *_, last = service.generate(REQUEST)
    assert last.finished is not None
    assert last.finished.image.size == (128, 128)
    assert service.plan(REQUEST).size == (128, 128)


def test_steps_that_are_left_open_are_within_the_limits_too() -> None:
    model = StandIn(fast=Defaults(5, 3.0, 4))  # its own are 6
    service = served(model, steps=3)
    assert (service.defaults.steps, service.fast.steps, service.fast.start_step) == (3, 3, 3)
    *_, last = service.generate(replace(REQUEST, steps=None))
    assert last.steps == 3
    settings = SettingsPanel(service)
    with gr.Blocks():
        settings.render()
    assert (settings.steps.value, settings.steps.maximum) == (3, 3)
    assert settings._preset("few_steps", 3, 1, None)[:2] == (3, 3)


def test_a_run_that_takes_too_long_ends_in_a_sentence_and_frees_the_model() -> None:
    model = StandIn(pause=0.2)
    service = served(model)
    object.__setattr__(service.limits, "run_seconds", 0.1)
    with pytest.raises(GenerationError, match="fewer pictures or steps"):
        list(service.generate(REQUEST))
    assert model.log[-1] == "cancelled"
    assert (service.monitor.running, service.monitor.failed) == (0, 1)


def test_a_run_that_gives_way_ends_at_the_step_after_which_it_is_not_wanted(caplog: pytest.LogCaptureFixture) -> None:
    model, taken = StandIn(), []
    service = served(model)
    caplog.set_level("INFO")
    for step in service.run_giving_way(service.plan(REQUEST), lambda: len(taken) < 2):
        taken.append(step.step)
    assert taken == [1, 2]
    assert model.log == ["start (0,)", "cancelled"]
    assert (service.monitor.running, service.monitor.failed) == (0, 0)
    assert [step.step for step in service.run_giving_way(service.plan(REQUEST), lambda: True)] == [1, 2, 3]
    assert not caplog.records  # a line for each move of a slider would drown all others


def test_when_the_server_stops_a_run_that_gives_way_ends_too() -> None:
    service = served()
    steps = service.run_giving_way(service.plan(REQUEST), lambda: True)
    next(steps)
    service._ending.set()
    with pytest.raises(GenerationError, match="being stopped"):
        next(steps)
    assert service.end_runs(within_s=1)
