"""Generation on GPUs that a host lends for a request at a time (ZeroGPU), through one decorated generator.

On such a host the model is moved to CUDA when the app starts, which ``spaces`` emulates there: it packs the weights,
and each process that is lent a GPU finds them on it. The decorated function runs in a separate process, and everything
that crosses over is pickled. A step therefore carries only its own maps, and errors come back as values.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import gradio as gr

from mmdiff_core.encoders.photo_cache import PhotoCache
from mmdiff_core.errors import GenerationError, MMDiffError
from mmdiff_core.inspection.prompt_recorder import InspectedStep
from mmdiff_core.maps.attention_maps import AttentionMaps
from mmdiff_core.results import GeneratedImage, Step

if TYPE_CHECKING:
    from demo.server.service import Model
    from mmdiff_core.generation.request_plan import Plan
    from mmdiff_core.inspection.token_collector import TokenRecording
    from mmdiff_core.inspection.token_maps import TokenMaps
    from mmdiff_core.pipeline import Personalizer

AnyStep = Step | InspectedStep


class Run(Protocol):
    """Runs a plan; with ``tokens`` its steps say where the image looks at the prompt."""

    def __call__(
        self, plan: Plan, photos: PhotoCache | None = None, tokens: TokenRecording | None = None
    ) -> Iterator[AnyStep]: ...


FIRST_SETUP_S = 15.0  # guesses, until a run has been measured: a fork, moving the weights, encoding the photos
FIRST_STEP_S = 0.3  # of an image of the native size
MARGIN = 1.5  # on what was measured
LEAST_S = 5
REMEMBERED = 10  # runs


@dataclass
class LoanTimes:
    """A running estimate of how long a GPU is needed, from what runs on this host took; shorter loans come sooner.

    The slowest of the last runs counts. Steps are counted in images of the native size.
    """

    native_pixels: int
    setups: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    steps: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def seconds(self, plan: Plan, tokens: TokenRecording | None = None) -> int:
        """Return for how long to ask for a GPU, with what :func:`run_on_loan` gives its work."""
        if not self.steps:
            return round(FIRST_SETUP_S + FIRST_STEP_S * self._units(plan))
        return max(LEAST_S, math.ceil(MARGIN * (max(self.setups) + max(self.steps) * self._units(plan))))

    def finished(self, plan: Plan, setup_s: float, steps_s: float, steps: int) -> None:
        """Learn from a run: the seconds before its first step and those of the ``steps`` after it."""
        self.setups.append(setup_s)
        if steps:
            self.steps.append(steps_s / steps / self._area(plan))

    def too_short(self, plan: Plan) -> None:
        """Learn that a run did not finish in the time that was asked for: ask for twice that."""
        asked = self.seconds(plan)
        self.setups.append(max(self.setups, default=FIRST_SETUP_S))
        self.steps.append(2 * asked / self._units(plan) / MARGIN)

    def _area(self, plan: Plan) -> float:
        return plan.numbers.width * plan.numbers.height / self.native_pixels

    def _units(self, plan: Plan) -> float:
        return plan.numbers.steps * len(plan.request.seeds) * self._area(plan)


def place_on_loan(model: Personalizer, device: str = "cuda") -> Personalizer:
    """Return a model, loaded on the CPU, on the emulated device; faces are found on the CPU, without a loan."""
    from mmdiff_core.pipeline import Personalizer

    adapter = None if model.adapter is None else model.adapter.to(device)
    return Personalizer(model.backbone.moved_to(device), adapter, model.faces, model.origin)


def run_on_loan(model: Personalizer, times: LoanTimes | None = None) -> Run:
    """Return a function that runs plans on a lent GPU; where the host lends none, ``spaces`` changes nothing.

    Args:
        model: from :func:`place_on_loan`.
        times: of earlier runs.
    """
    width, height = model.sizes.default
    known = times or LoanTimes(width * height)
    home, first = os.getpid(), [True]  # ``first`` is changed in the lent process alone

    def work(plan: Plan, tokens: TokenRecording | None = None) -> Iterator[float | AnyStep | MMDiffError]:
        fresh, first[0] = first[0] and os.getpid() != home, False
        yield _age_of_process() if fresh else 0.0
        try:
            with closing(run_here(model, plan, None, tokens)) as steps:  # type: ignore[type-var]
                yield from map(_packed, steps)
        except MMDiffError as error:
            yield error

    lent = import_module("spaces").GPU(duration=known.seconds)(work)

    def run(plan: Plan, photos: PhotoCache | None = None, tokens: TokenRecording | None = None) -> Iterator[AnyStep]:
        del photos  # the other process cannot share them
        try:
            with closing(lent(plan, tokens)) as steps:
                yield from _measured(_unpacked(steps), plan, known)
        except gr.Error as error:
            raise GenerationError(_refusal(error, plan, known)) from error

    return run


def _age_of_process() -> float:
    """Return the seconds since this process began: a fork, and moving the weights. Hosts that lend run Linux."""
    began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - began


def _measured(steps: Iterator[float | AnyStep], plan: Plan, times: LoanTimes) -> Iterator[AnyStep]:
    """Pass steps on, and note what they took; the first value are the seconds before the work began."""
    setup, began, arrived, count = 0.0, time.monotonic(), 0.0, 0
    for step in steps:
        if isinstance(step, float):
            setup, began = step, time.monotonic()
            continue
        if not count:
            arrived = time.monotonic()
        count += 1
        yield step
    if count:
        times.finished(plan, setup + arrived - began, time.monotonic() - arrived, count - 1)


def _refusal(error: gr.Error, plan: Plan, times: LoanTimes) -> str:
    """Return in plain words why ``spaces`` lent no GPU, or took it back."""
    told = re.sub(r"<[^>]*>", "", str(error.message))
    if "aborted" in told:
        times.too_short(plan)
        return "The GPU was taken back before the picture was finished: try again, it is asked for longer now."
    if "larger than the maximum" in told:
        asked = times.seconds(plan)
        return f"This needs a GPU for {asked} seconds, longer than one is lent: ask for fewer pictures or steps."
    if found := re.search(r"\((\d+)s requested vs\. (\d+)s left\)\. Try again in (\S+?)\. ?", told):
        needed, left, wait = found.groups()
        return (
            f"Your GPU time for today is used up: this needs {needed} seconds, and {left} are left. Try again in "
            f"{wait} hours, or sign in to Hugging Face for more."
        )
    if "limit" in told or "quota" in told:
        return "Your GPU time for today is used up: try again later, or sign in to Hugging Face for more."
    if "No GPU was available" in told:
        return "No GPU is free at the moment: try again in a minute."
    reason = told.strip().rstrip(".")
    return f"No GPU could be had: {reason}. Try again in a minute."


def run_here(
    model: Model, plan: Plan, photos: PhotoCache | None = None, tokens: TokenRecording | None = None
) -> Iterator[AnyStep]:
    """Run a plan on a model of this process."""
    return model.run(plan, photos) if tokens is None else model.run_inspected(plan, tokens, photos)


def bare_step(step: AnyStep) -> Step:
    """Return a step without what it says about the prompt."""
    return step.step if isinstance(step, InspectedStep) else step


def _packed(step: AnyStep) -> AnyStep:
    """Strip a step of everything that earlier steps have sent: their maps and finished images."""
    if isinstance(step, InspectedStep):
        newest = tuple(record for record in step.tokens.records if record.step == step.step.step - 1)
        return InspectedStep(_packed_bare(step.step), replace(step.tokens, records=newest))
    return _packed_bare(step)


def _packed_bare(step: Step) -> Step:
    maps = step.maps
    newest = None if maps is None else replace(maps, records=tuple(r for r in maps.records if r.step == step.step - 1))
    picture = None if step.finished is None else replace(step.finished, maps=None)
    return replace(step, maps=newest, finished=picture, result=() if step.result is not None else None)


def _unpacked(steps: Iterator[float | AnyStep | MMDiffError]) -> Iterator[float | AnyStep]:
    """Restore the steps that :func:`_packed` stripped."""
    tokens: TokenMaps | None = None
    maps: AttentionMaps | None = None
    pictures: tuple[GeneratedImage, ...] = ()
    for sent in steps:
        if isinstance(sent, MMDiffError):
            raise sent
        if isinstance(sent, float):
            yield sent
            continue
        step = bare_step(sent)
        before = () if maps is None or step.step == 1 else maps.records
        maps = None if step.maps is None else replace(step.maps, records=(*before, *step.maps.records))
        picture = None if step.finished is None else replace(step.finished, maps=maps)
        pictures += (picture,) if picture else ()
        whole = replace(step, maps=maps, finished=picture, result=pictures if step.result is not None else None)
        if isinstance(sent, InspectedStep):
            earlier = () if tokens is None or step.step == 1 else tokens.records
            tokens = replace(sent.tokens, records=(*earlier, *sent.tokens.records))
        yield whole if tokens is None else InspectedStep(whole, tokens)
