"""The model as the page uses it: within the limits, watched, told of in the log, on a lent GPU where there is one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from demo.server.event_log import EventLog
from demo.server.limits import Limits
from demo.server.zero_gpu import Generate, generate_here
from mmdiff_core.encoders.photo_cache import PhotoCache
from mmdiff_core.errors import GenerationError, MMDiffError
from mmdiff_core.results import Step
from mmdiff_core.types import GenerateRequest, Size

if TYPE_CHECKING:
    from mmdiff_core.backbones.base import Defaults
    from mmdiff_core.generation.request_plan import Plan
    from mmdiff_core.pipeline import Personalizer

MODEL_QUEUE = "generation"  # everything that uses the model shares this queue: one at a time


@dataclass
class RunMonitor:
    """When work began and last went on; what ``/healthz`` looks at. Times are those of ``time.monotonic``."""

    began: float = field(default_factory=time.monotonic)
    running: int = 0
    advanced: float = 0.0  # the newest step of any run
    finished: int = 0
    failed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def run(self) -> Iterator[None]:
        """Inside, a request has the model."""
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
        """Work goes on."""
        self.advanced = time.monotonic()

    def silent_s(self) -> float:
        """For how long running work has not gone on; 0 where nothing runs."""
        return time.monotonic() - self.advanced if self.running else 0.0


class Deadline:
    """When work that begins now must be done.

    Args:
        seconds: for how long it may keep the model.
        what: how messages call the work.
        instead: what to ask for if that is too short.
    """

    def __init__(self, seconds: float, what: str = "A request", instead: str = "fewer pictures or steps") -> None:
        self.seconds, self.what, self.instead = seconds, what, instead
        self.began = time.monotonic()

    def check(self) -> None:
        """Whether there is time left for another step.

        Raises:
            GenerationError: there is none.
        """
        if time.monotonic() - self.began > self.seconds:
            raise GenerationError(
                f"{self.what} may keep the model for {self.seconds} seconds here, and this one needs longer: ask for "
                f"{self.instead}, or for a smaller size."
            )


class Service:
    """Has the interface of a :class:`Personalizer` and stands before one.

    Args:
        model: what makes the pictures.
        limits: what a visitor may ask for.
        generate: how a request runs; on a lent GPU on hosts that have such.
    """

    def __init__(
        self,
        model: Personalizer,
        limits: Limits,
        event_log: EventLog | None = None,
        monitor: RunMonitor | None = None,
        generate: Generate | None = None,
    ) -> None:
        self.model = model
        self.limits = limits
        self.event_log = event_log or EventLog()
        self.monitor = monitor or RunMonitor()
        self._generate = generate or generate_here(model)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the model's own."""
        return getattr(self.model, name)

    @property
    def sizes(self) -> Size:
        """The sizes that the model can make and a visitor may ask for."""
        return self.limits.within(self.model.sizes)

    @property
    def defaults(self) -> Defaults:
        """The model's, with no more steps than a visitor may ask for."""
        return self.limits.fewer_steps(self.model.defaults)

    @property
    def fast(self) -> Defaults | None:
        """The same of the model's preset for few steps."""
        return self.model.fast and self.limits.fewer_steps(self.model.fast)

    def plan(self, request: GenerateRequest) -> Plan:
        """Read a request without doing any work; errors as the model's, and where it asks for too much."""
        self.limits.check(request)
        return self.model.plan(self._decided(request))

    def generate(self, request: GenerateRequest, photos: PhotoCache | None = None) -> Iterator[Step]:
        """One step at a time; closing the iterator cancels. ``photos`` are those that the session has shown before.

        Raises:
            GenerationError: at a step, if the request keeps the model for longer than it may.
        """
        try:
            self.plan(request)
        except MMDiffError as error:
            self.event_log.failed("refused", error)
            raise
        return self._steps(self._decided(request), photos)

    def _decided(self, request: GenerateRequest) -> GenerateRequest:
        """With steps and size: where they are left open, the model takes its own, which may be more than is allowed."""
        steps = self.defaults.steps if request.steps is None else request.steps
        width, height = self.sizes.default
        width = width if request.width is None else request.width
        height = height if request.height is None else request.height
        return replace(request, steps=steps, width=width, height=height)

    def _steps(self, request: GenerateRequest, photos: PhotoCache | None) -> Iterator[Step]:
        deadline, done = Deadline(self.limits.run_seconds), 0
        began = deadline.began
        try:
            with self.monitor.run(), closing(self._generate(request, photos)) as steps:  # type: ignore[type-var]
                for step in steps:
                    self.monitor.step()
                    done += 1
                    yield step
                    if step.result is None:
                        deadline.check()
        except GeneratorExit:
            facts = self.event_log.request_facts(request)
            self.event_log.log("cancelled", done_steps=done, seconds=_since(began), **facts)
            raise
        except MMDiffError as error:
            self.event_log.failed("failed", error, done_steps=done, seconds=_since(began))
            raise
        self.event_log.log("generated", done_steps=done, seconds=_since(began), **self.event_log.request_facts(request))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)
