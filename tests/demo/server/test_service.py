from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from demo.server.error_messages import user_facing_errors
from demo.server.event_log import EventLog, JsonLines, TextLines
from demo.server.health import service_state
from demo.server.limits import Limits
from demo.server.service import Service
from demo.studio.settings_panel import SettingsPanel
from mmdiff_core.errors import GenerationError, PromptError, SettingsError
from mmdiff_core.results import Step
from mmdiff_core.types import GenerateRequest, Subject
from tests.helpers.stand_in import Defaults, Plan, StandIn

REQUEST = GenerateRequest("a secret cat", (Subject("cat", (Image.new("RGB", (8, 8)),)),), steps=3)


def _service(model: Any = None, **limits: int) -> Service:
    return Service(model or StandIn(), Limits(**limits))


def test_it_is_the_model_within_the_limits() -> None:
    service = _service(side=256)
    assert service.defaults == StandIn().defaults
    assert service.sizes.largest == 256
    assert [step.step for step in service.generate(REQUEST)] == [1, 2, 3]
    with pytest.raises(SettingsError, match="too many here"):
        _service(steps=2).plan(REQUEST)
    with pytest.raises(PromptError):
        service.generate(GenerateRequest("a dog", REQUEST.subjects))  # at once, not at the first step


def test_a_size_that_is_left_open_is_within_the_limits_too() -> None:
    service = _service(side=128)  # the model's own is 256
    *_, last = service.generate(REQUEST)
    assert last.finished is not None
    assert last.finished.image.size == (128, 128)
    assert service.plan(REQUEST).size == (128, 128)


def test_steps_that_are_left_open_are_within_the_limits_too() -> None:
    model = StandIn(fast=Defaults(5, 3.0, 4))  # its own are 6
    service = _service(model, steps=3)
    assert (service.defaults.steps, service.fast.steps, service.fast.start_step) == (3, 3, 3)
    *_, last = service.generate(replace(REQUEST, steps=None))
    assert last.steps == 3
    settings = SettingsPanel(service)
    with gr.Blocks():
        settings.render()
    assert (settings.steps.value, settings.steps.maximum) == (3, 3)
    assert settings._preset("few_steps")[:2] == (3, 3)


def test_a_run_that_takes_too_long_ends_in_a_sentence_and_frees_the_model() -> None:
    model = StandIn(pause=0.2)
    service = _service(model)
    object.__setattr__(service.limits, "run_seconds", 0.1)
    with pytest.raises(GenerationError, match="fewer pictures or steps"):
        list(service.generate(REQUEST))
    assert model.log[-1] == "cancelled"
    assert (service.monitor.running, service.monitor.failed) == (0, 1)


def test_health_tells_when_work_has_not_gone_on() -> None:
    service = _service(run_seconds=400)
    steps = service.generate(REQUEST)
    next(iter(steps))
    assert (service_state(service)["status"], service.monitor.running) == ("ok", 1)
    service.monitor.advanced -= 399
    assert service_state(service)["status"] == "ok"
    service.monitor.advanced -= 2
    assert service_state(service)["status"] == "stuck"
    steps.close()  # type: ignore[attr-defined]
    assert (service_state(service)["status"], service.monitor.running, service.monitor.finished) == ("ok", 0, 1)


# ---------------------------------------------------------------- the log


def _facts(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(JsonLines().format(record)) for record in caplog.records]


def test_events_are_told_in_numbers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    list(_service().generate(REQUEST))
    (line,) = _facts(caplog)
    assert line["event"] == "generated"
    assert (line["photos"], line["subjects"], line["done_steps"], line["prompt_characters"]) == (1, 1, 3, 12)
    assert "secret" not in json.dumps(line)
    assert "event" not in TextLines().format(caplog.records[0])
    assert "photos=1" in TextLines().format(caplog.records[0])


def test_words_are_told_where_somebody_asked_for_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    list(Service(StandIn(), Limits(), EventLog(words=True)).generate(REQUEST))  # type: ignore[arg-type]
    assert _facts(caplog)[0]["prompt"] == "a secret cat"


class Failing(StandIn):
    def run(self, plan: Plan, photos: object = None) -> Iterator[Step]:
        yield from super().run(plan)
        raise GenerationError("no memory for a secret cat")


def test_a_failure_is_told_by_its_kind(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(GenerationError):
        list(_service(Failing()).generate(REQUEST))
    (line,) = _facts(caplog)
    assert (line["event"], line["error"], line["level"]) == ("failed", "GenerationError", "WARNING")
    assert "secret" not in json.dumps(line)


def test_what_nobody_foresaw_has_a_number_on_both_sides(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(gr.Error, match="number") as caught, user_facing_errors():
        raise KeyError("a secret cat in /srv/app")
    (line,) = _facts(caplog)
    assert line["number"] in caught.value.message
    assert "/srv" not in caught.value.message
    assert line["error"] == "KeyError"
    assert line["frames"][-1].startswith("tests/demo/server/test_service.py:")
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device", "/srv/secret"), "the disk is full"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: ..."), "not enough memory"),
    ],
)
def test_the_machine_s_own_limits_are_said_in_words(error: Exception, says: str) -> None:
    with pytest.raises(gr.Error, match=says) as caught, user_facing_errors():
        raise error
    assert "/srv" not in caught.value.message
