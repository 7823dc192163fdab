"""Generation on lent GPUs, with a decorator that runs its generator as ZeroGPU does: in a fork, everything pickled."""

from __future__ import annotations

import math
import multiprocessing
import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch

from demo.server.zero_gpu import LoanTimes, place_on_loan, run_on_loan
from mmdiff_core.errors import GenerationError
from mmdiff_core.inspection.prompt_recorder import InspectedStep
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny
from tests.helpers.faces import Squares

REQUEST = GenerateRequest("a cat next to a robot", tiny.cat_and_robot(), seeds=(3, 4), steps=3, width=32, height=32)


def _in_a_fork(work: Callable[..., Iterator[Any]], stopped: Any) -> Callable[..., Iterator[Any]]:
    """Every step goes through a pipe; closing the generator asks the fork to stop after the step at hand."""
    context = multiprocessing.get_context("fork")

    def outside(*given: Any) -> Iterator[Any]:
        here, there = context.Pipe()

        def inside() -> None:
            steps = work(*given)
            for step in steps:
                there.send(step)
                if there.recv() == "stop":
                    steps.close()  # type: ignore[attr-defined]
                    stopped.set()
                    return
            there.send(None)

        process = context.Process(target=inside)
        process.start()
        try:
            while (step := here.recv()) is not None:
                yield step
                here.send("on")
        except GeneratorExit:
            here.send("stop")
            raise
        finally:
            process.join(60)

    return outside


@pytest.fixture
def stopped() -> Any:
    return multiprocessing.get_context("fork").Event()


@pytest.fixture
def durations(monkeypatch: pytest.MonkeyPatch, stopped: Any) -> list[int]:
    """A host that lends; what it was asked for."""
    asked: list[int] = []

    def lend(duration: Callable[..., int]) -> Callable[..., Any]:
        def decorate(work: Callable[..., Any]) -> Callable[..., Any]:
            forked = _in_a_fork(work, stopped)

            def lent(*given: Any) -> Any:
                asked.append(duration(*given))
                return forked(*given)

            return lent

        return decorate

    module = types.ModuleType("spaces")
    module.GPU = lend  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spaces", module)
    return asked


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Personalizer:
    return tiny.personalizer("sd", tmp_path_factory.mktemp("sd"))


def test_a_lent_run_is_the_same_as_one_at_home(model: Personalizer, durations: list[int]) -> None:
    lent = list(run_on_loan(model)(model.plan(REQUEST)))
    own = list(model.generate(REQUEST))
    assert durations == [17]  # a guess, before anything was measured
    assert [(a.image_index, a.step) for a in lent] == [(b.image_index, b.step) for b in own]
    for a, b in zip(lent, own, strict=True):
        assert a.maps is not None
        assert b.maps is not None
        assert np.array_equal(np.asarray(a.preview), np.asarray(b.preview))
        assert np.array_equal(a.maps.at(0, "image"), b.maps.at(0, "image"))
    assert lent[-1].result is not None
    assert own[-1].result is not None
    for mine, theirs in zip(lent[-1].result, own[-1].result, strict=True):
        assert mine.image.tobytes() == theirs.image.tobytes()
        assert np.array_equal(mine.maps.at(1, "text"), theirs.maps.at(1, "text"))


def test_a_lent_run_says_where_it_looks_at_the_prompt(model: Personalizer, durations: list[int]) -> None:
    request = GenerateRequest("a cat on sand", seeds=(3, 4), steps=2, width=32, height=32, recording=None)
    lent = list(run_on_loan(model)(model.plan(request), None, TokenRecording(concepts=("dog",))))
    own = list(model.inspect(request, TokenRecording(concepts=("dog",))))
    assert durations == [16]
    for mine, theirs in zip(lent, own, strict=True):
        assert isinstance(mine, InspectedStep)
        assert mine.tokens.steps == theirs.tokens.steps
        assert np.array_equal(mine.tokens.average(), theirs.tokens.average())
        assert mine.step.maps is None
    assert lent[-1].step.result[1].image.tobytes() == own[-1].step.result[1].image.tobytes()  # type: ignore[union-attr,index]


def test_closing_it_ends_the_lent_process(model: Personalizer, durations: list[int], stopped: Any) -> None:
    steps = run_on_loan(model)(model.plan(REQUEST))
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert stopped.is_set()


def test_errors_come_home_as_they_were(
    model: Personalizer, durations: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(model.backbone), "predict_noise", run_out)
    with pytest.raises(GenerationError, match="not enough memory"):
        list(run_on_loan(model)(model.plan(REQUEST)))


# ---------------------------------------------------------------- for how long


def test_the_time_that_is_asked_for_follows_what_runs_took(model: Personalizer, durations: list[int]) -> None:
    times = LoanTimes(32 * 32)
    run = run_on_loan(model, times)
    list(run(model.plan(REQUEST)))
    assert len(times.setups) == len(times.steps) == 1
    assert 0 < times.steps[0] < 5
    assert 0 < times.setups[0] < 60  # with the fork
    list(run(model.plan(REQUEST)))
    assert durations[1] == max(5, math.ceil(1.5 * (times.setups[0] + 6 * times.steps[0])))


@pytest.mark.parametrize(("size", "seeds", "seconds"), [(32, (1,), 12), (32, (1, 2), 21), (16, (1,), 6)])
def test_it_grows_with_steps_pictures_and_size(model: Personalizer, size: int, seeds: tuple, seconds: int) -> None:
    times = LoanTimes(32 * 32)
    plan = model.plan(replace(REQUEST, seeds=(1,), steps=3))
    times.finished(plan, 2.0, 4.0, 2)
    asked = model.plan(replace(REQUEST, seeds=seeds, width=size, height=size))
    assert times.seconds(asked) == pytest.approx(seconds, abs=1)
    times.finished(plan, 1.0, 0.2, 2)  # a quicker run changes nothing while the slow one is remembered
    assert times.seconds(asked) == pytest.approx(seconds, abs=1)
    for _ in range(10):
        times.finished(plan, 1.0, 0.2, 2)
    assert times.seconds(asked) == 5


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("You have exceeded your free ZeroGPU quota (17s requested vs. 9s left). Try again in 3:12:05. ",
         "Your GPU time for today is used up: this needs 17 seconds, and 9 are left. Try again in 3:12:05 hours"),
        ("Space app has reached its GPU limit. Try re-running outside of examples", "used up: try again later"),
        ("The requested GPU duration (900s) is larger than the maximum allowed", "longer than one is lent"),
        ('No GPU was available after 60s. <a href="https://x.org">Create a free account</a> to', "No GPU is free at"),
        ("Expired ZeroGPU proxy token", "No GPU could be had: Expired ZeroGPU proxy token. Try again"),
        ("GPU task aborted", "taken back before the picture was finished"),
    ],
)  # fmt: skip
def test_a_refusal_is_said_in_words(model: Personalizer, monkeypatch: pytest.MonkeyPatch, told: str, said: str) -> None:
    module = types.ModuleType("spaces")

    def refuse(*_: object) -> Iterator[Any]:
        yield 0.0
        raise gr.Error(told)

    module.GPU = lambda duration: lambda work: refuse  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spaces", module)
    times, plan = LoanTimes(32 * 32), model.plan(REQUEST)
    before = times.seconds(plan)
    with pytest.raises(GenerationError, match=re.escape(said)) as raised:
        list(run_on_loan(model, times)(plan))
    assert "<" not in str(raised.value)
    assert times.seconds(plan) >= (2 * before if "aborted" in told else before)


def test_the_model_is_placed_at_the_start_and_finds_faces_without_a_loan(model: Personalizer) -> None:
    analyser = Squares()
    placed = place_on_loan(Personalizer(model.backbone, model.adapter, analyser, model.origin), "cpu")
    assert placed.backbone.device == torch.device("cpu")
    assert placed.origin is model.origin
    faces = tiny.adapter_for(tiny.stable_diffusion(), source="face")
    loaded = Personalizer(model.backbone, faces)
    assert place_on_loan(loaded, "cpu").faces is loaded.faces  # of the CPU
