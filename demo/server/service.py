"""The model as the page uses it: limited, monitored and logged, and on a lent GPU where the host lends one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from demo.process.model_turns import ModelTurns
from demo.server.event_log import EventLog
from demo.server.limits import Limits
from demo.server.photo_files import PhotoFiles
from demo.server.zero_gpu import AnyStep, Run, bare_step, run_here
from mmdiff_core.encoders.photo_cache import PhotoCache
from mmdiff_core.errors import GenerationError, MMDiffError
from mmdiff_core.inspection.prompt_recorder import InspectedStep, check_tokens
from mmdiff_core.results import Step
from mmdiff_core.types import GenerateRequest, Size

if TYPE_CHECKING:
    from mmdiff_core.backbones.base import Backbone, Defaults
    from mmdiff_core.encoders.face import FaceAnalyser
    from mmdiff_core.generation.model_summary import ModelSummary
    from mmdiff_core.generation.request_plan import Plan
    from mmdiff_core.inspection.token_collector import TokenRecording
    from mmdiff_core.nn.adapter import MMDiffAdapter
    from mmdiff_core.weights.model_source import ModelSource

MODEL_QUEUE = "generation"  # everything that uses the model shares this queue: one at a time


@dataclass
class RunMonitor:
    """Counts runs and notes when one last made a step, for ``/healthz``. Times are those of ``time.monotonic``."""

    began: float = field(default_factory=time.monotonic)
    running: int = 0
    advanced: float = 0.0  # when any run last made a step
    finished: int = 0
    failed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def run(self) -> Iterator[None]:
        """Count a run for as long as the context is open."""
        with self._lock:
            self.running, self.advanced = self.running + 1, time.monotonic()
        ended = "finished"
        try:
            yield
        except Exception:
            ended = "failed"
            raise
        finally:
            with self._lock:
                self.running -= 1
                setattr(self, ended, getattr(self, ended) + 1)

    def step(self) -> None:
        """Note that a run made a step."""
        self.advanced = time.monotonic()

    def silent_s(self) -> float:
        """Return the seconds since a run last made a step; 0 if nothing is running."""
        return time.monotonic() - self.advanced if self.running else 0.0


class Deadline:
    """The time by which work that starts now must have finished.

    Args:
        seconds: how long it may use the model.
        what: what messages call the work.
        instead: what messages suggest asking for instead.
    """

    def __init__(self, seconds: float, what: str = "A request", instead: str = "fewer pictures or steps") -> None:
        self.seconds, self.what, self.instead = seconds, what, instead
        self.began = time.monotonic()

    def check(self) -> None:
        """Check that there is time left for another step.

        Raises:
            GenerationError: there is none.
        """
        if time.monotonic() - self.began > self.seconds:
            raise GenerationError(
                f"{self.what} may use the model for {self.seconds} seconds here, and this one takes longer: ask for "
                f"{self.instead}, or for a smaller size."
            )


class Model(Protocol):
    """A :class:`mmdiff_core.pipeline.Personalizer`, as far as the page uses it."""

    @property
    def backbone(self) -> Backbone: ...
    @property
    def adapter(self) -> MMDiffAdapter | None: ...
    @property
    def faces(self) -> FaceAnalyser | None: ...
    @property
    def origin(self) -> ModelSource | None: ...
    @property
    def sizes(self) -> Size: ...
    @property
    def defaults(self) -> Defaults: ...
    @property
    def fast(self) -> Defaults | None: ...

    def summary(self, image_size: tuple[int, int] | None = None) -> ModelSummary: ...
    def plan(self, request: GenerateRequest) -> Plan: ...
    def run(self, plan: Plan, photos: PhotoCache | None = None) -> Iterator[Step]: ...
    def run_inspected(
        self, plan: Plan, tokens: TokenRecording, photos: PhotoCache | None = None
    ) -> Iterator[InspectedStep]: ...


class Service:
    """A model with limits, a monitor of its runs, and an event log.

    Args:
        model: what makes the images.
        limits: what a visitor may ask for.
        run: runs a plan; by default the model does, and on a host that lends GPUs, a lent one.
    """

    def __init__(
        self,
        model: Model,
        limits: Limits,
        event_log: EventLog | None = None,
        monitor: RunMonitor | None = None,
        run: Run | None = None,
    ) -> None:
        self.model = model
        self.limits = limits
        self.event_log = event_log or EventLog()
        self.monitor = monitor or RunMonitor()
        self.photo_files = PhotoFiles()
        self._run: Run = run or partial(run_here, model)
        self.turns = ModelTurns()
        self._ending = threading.Event()

    @property
    def backbone(self) -> Backbone:
        """The diffusion model."""
        return self.model.backbone

    @property
    def adapter(self) -> MMDiffAdapter | None:
        """The MM-Diff weights."""
        return self.model.adapter

    @property
    def faces(self) -> FaceAnalyser | None:
        """Finds faces in photos; None unless the adapter reads them."""
        return self.model.faces

    @property
    def origin(self) -> ModelSource | None:
        """What it takes to load the same model again."""
        return self.model.origin

    @property
    def sizes(self) -> Size:
        """The sizes that the model can make and a visitor may ask for."""
        return self.limits.within(self.model.sizes)

    @property
    def defaults(self) -> Defaults:
        """The model's defaults, with no more steps than a visitor may ask for."""
        return self.limits.fewer_steps(self.model.defaults)

    @property
    def fast(self) -> Defaults | None:
        """The model's few-step preset, with no more steps than a visitor may ask for."""
        return self.model.fast and self.limits.fewer_steps(self.model.fast)

    def summary(self, image_size: tuple[int, int] | None = None) -> ModelSummary:
        """Return the sizes of the model's parts; see ``Personalizer.summary``."""
        return self.model.summary(image_size)

    def plan(self, request: GenerateRequest) -> Plan:
        """Apply the limits and plan the request; a refusal is logged.

        Raises:
            MMDiffError: the request exceeds a limit, or ``Personalizer.plan`` refuses it.
        """
        try:
            self.limits.check(request)
            return self.model.plan(self._decided(request))
        except MMDiffError as error:
            self.event_log.failed("refused", error)
            raise

    def generate(self, request: GenerateRequest, photos: PhotoCache | None = None) -> Iterator[Step]:
        """Plan and run a request; :meth:`plan` raises its errors here, :meth:`run` at a step."""
        return self.run(self.plan(request), photos)

    def _decided(self, request: GenerateRequest) -> GenerateRequest:
        """Fill in steps and size; the model's own defaults may exceed the limits."""
        steps = self.defaults.steps if request.steps is None else request.steps
        width, height = self.sizes.default
        width = width if request.width is None else request.width
        height = height if request.height is None else request.height
        return replace(request, steps=steps, width=width, height=height)

    def check_tokens(self, plan: Plan, tokens: TokenRecording) -> None:
        """Check what is to be recorded of a plan's prompt; a refusal is logged. Errors as ``Personalizer.inspect``."""
        try:
            check_tokens(plan, self.backbone, tokens)
        except MMDiffError as error:
            self.event_log.failed("refused", error)
            raise

    def run(self, plan: Plan, photos: PhotoCache | None = None) -> Iterator[Step]:
        """Make the images of a plan, one step at a time; closing the iterator cancels.

        Args:
            plan: from :meth:`plan`.
            photos: features of photos that the session has used before.

        Raises:
            GenerationError: at a step, if the request uses the model for longer than it may.
        """
        return cast("Iterator[Step]", self._watched(plan, photos))

    def run_giving_way(
        self, plan: Plan, is_wanted: Callable[[], bool], photos: PhotoCache | None = None
    ) -> Iterator[Step]:
        """Make the images of a plan while nobody else wants the model; otherwise as :meth:`run`, but not logged.

        Ends without a result, at the next step, where another run asks for the model, or this one is no longer wanted.
        """
        with self.turns.take_giving_way(is_wanted) as has_turn:
            if not has_turn:
                return
            with self.monitor.run(), closing(self._run(plan, photos, None)) as steps:  # type: ignore[type-var]
                for step in map(bare_step, steps):
                    self.monitor.step()
                    yield step
                    if step.result is not None:
                        continue
                    self._check_ending()
                    if self.turns.is_asked_for or not is_wanted():
                        return

    def inspect(self, plan: Plan, tokens: TokenRecording) -> Iterator[InspectedStep]:
        """Make the images of a plan and say where each looks at its prompt; otherwise as :meth:`run`."""
        return cast("Iterator[InspectedStep]", self._watched(plan, None, tokens))

    def _watched(
        self, plan: Plan, photos: PhotoCache | None, tokens: TokenRecording | None = None
    ) -> Iterator[AnyStep]:
        """Run within the limits, with the log and the monitor."""
        request = plan.request
        began, done = time.monotonic(), 0
        try:
            # A run may outlive the event that waited for it in Gradio's queue; the next one waits here.
            with self.turns.take(), self.monitor.run(), closing(self._run(plan, photos, tokens)) as steps:  # type: ignore[type-var]
                deadline = Deadline(self.limits.run_seconds)
                began = deadline.began
                self._check_ending()
                for step in steps:
                    self.monitor.step()
                    done += 1
                    yield step
                    if bare_step(step).result is None:
                        self._check_ending()
                        deadline.check()
        except GeneratorExit:
            facts = self.event_log.request_facts(request)
            self.event_log.log("cancelled", done_steps=done, seconds=_since(began), **facts)
            raise
        except MMDiffError as error:
            self.event_log.failed("failed", error, done_steps=done, seconds=_since(began))
            raise
        self.event_log.log("generated", done_steps=done, seconds=_since(began), **self.event_log.request_facts(request))

    def end_runs(self, within_s: float) -> bool:
        """End every run at its next step, for good, and wait for that; returns whether all have ended in time."""
        self._ending.set()
        deadline = time.monotonic() + within_s
        while self.monitor.running and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.monitor.running

    def _check_ending(self) -> None:
        if self._ending.is_set():
            raise GenerationError("The server is being stopped: try again in a minute.")


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)
