"""What the page is told of a move."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from demo.live.live_switch import LiveSwitch
from demo.server import sessions
from demo.studio.tab import StudioTab
from tests.helpers.stand_in import Defaults, Values


def _move(switch: LiveSwitch, values: Values, number: int = 1) -> tuple[dict[str, Any], Any]:
    """What the switch and the viewer are told."""
    update = switch.answer(values, SimpleNamespace(run="page", move=number))  # type: ignore[arg-type]
    return update[switch.switch].props["answer"], update[switch.result.viewer]


def test_a_move_is_answered_with_few_steps_and_one_picture(switch: LiveSwitch, values: Values) -> None:
    settings = switch.form.settings
    values |= {settings.pictures: 2, settings.start_step: 4, settings.bound: 0.5, settings.guidance: 2.0}
    answer, shown = _move(switch, values)
    assert answer == {"run": "page", "move": 1, "state": "shown", "text": ""}
    assert shown.props["live"]["move"] == 1
    (asked,) = switch.service.model.asked  # type: ignore[attr-defined]
    assert (asked.steps, asked.start_step, asked.scheduler) == (3, 2, "unipc")  # half of the stand-in's six
    assert (asked.seeds, asked.word_gating, asked.guidance) == ((4,), 0.5, 2.0)
    assert asked.recording.words


def test_the_kept_picture_is_one_of_the_fields_as_they_are(switch: LiveSwitch, values: Values) -> None:
    """Not of those with few steps: it would fade at once."""
    _move(switch, values)
    history = values[switch.result.history]
    kept = switch.keep(history, SimpleNamespace(on=True))  # type: ignore[arg-type]
    assert kept.value["pictures"][0]["form"] == switch.form.read(values).fingerprint
    assert len(history.entries) == 1
    nothing = switch.keep(history, SimpleNamespace(on=True))  # type: ignore[arg-type]
    assert nothing == gr.skip()


@pytest.mark.parametrize("prompt", ["", "a cat"])
def test_what_is_wrong_in_the_fields_is_a_hint(switch: LiveSwitch, values: Values, prompt: str) -> None:
    answer, shown = _move(switch, values | {switch.form.compose.prompt: prompt})
    assert answer["state"] == "invalid"
    assert ("robot" if prompt else "prompt is empty") in answer["text"]
    assert shown == gr.skip()
    assert switch.service.model.log == []  # type: ignore[attr-defined]
    assert _move(switch, values, 2)[0]["state"] == "shown"


def test_what_only_the_model_refuses_is_a_hint_too(switch: LiveSwitch, values: Values) -> None:
    object.__setattr__(switch.service.limits, "prompt_characters", 5)
    answer, _ = _move(switch, values)
    assert answer["state"] == "invalid"
    assert "characters" in answer["text"]


def test_an_error_at_a_step_is_a_sentence(switch: LiveSwitch, values: Values) -> None:
    switch.service.model.fails_at = (1, 2)  # type: ignore[attr-defined]
    answer, shown = _move(switch, values)
    assert answer["state"] == "failed"
    assert "memory" in answer["text"]
    assert shown == gr.skip()


def test_an_older_move_changes_nothing_on_the_page(switch: LiveSwitch, values: Values) -> None:
    _move(switch, values, 5)
    update = switch.answer(values, SimpleNamespace(run="page", move=4))  # type: ignore[arg-type]
    assert list(update.values()) == [gr.skip(), gr.skip()]


def test_where_the_host_lends_its_gpu_there_is_no_live(
    switch: LiveSwitch, values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    studio = StudioTab(switch.service)
    assert studio.live.offer() == {"possible": False, "offered": False, "unguided": False}
    monkeypatch.delenv("SPACES_ZERO_GPU")
    assert StudioTab(switch.service).live.offer() == {"possible": True, "offered": True, "unguided": False}


def test_where_others_wait_for_the_model_it_is_not_offered(switch: LiveSwitch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.live.live_switch.waiting_requests", lambda _: 2)
    assert switch.offer() == {"possible": True, "offered": False, "unguided": False}


def test_a_student_needs_no_guidance_and_the_page_says_so(switch: LiveSwitch) -> None:
    switch.service.model.fast = Defaults(steps=2, guidance=1.0)  # type: ignore[misc]
    assert StudioTab(switch.service).live.offer()["unguided"]


def test_outside_of_a_page_nobody_waits() -> None:
    assert sessions.waiting_requests("generation") == 0


def test_every_cheap_slider_is_answered(switch: LiveSwitch) -> None:
    ids = {field.elem_id for field in switch.fields}
    strengths = {f"strength-{number}" for number in range(1, 5)}
    assert ids == strengths | {
        *("start-step", "bound", "guidance", "guidance-rescale", "clip-skip", "seed", "parts"),
        *("balance-photos", "image-strength"),
    }
