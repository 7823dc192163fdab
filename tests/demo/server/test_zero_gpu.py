"""Generation on lent GPUs, with a decorator that runs its generator as ZeroGPU does: in a fork, everything pickled."""

from __future__ import annotations

import multiprocessing
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from demo.server.zero_gpu import run_on_loan
from mmdiff_core.errors import GenerationError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny

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
    lent = list(run_on_loan(model, device="cpu")(model.plan(REQUEST)))
    own = list(model.generate(REQUEST))
    assert durations == [26]
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


def test_closing_it_ends_the_lent_process(model: Personalizer, durations: list[int], stopped: Any) -> None:
    steps = run_on_loan(model, device="cpu")(model.plan(REQUEST))
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
        list(run_on_loan(model, device="cpu")(model.plan(REQUEST)))
