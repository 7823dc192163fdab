"""Generation on GPUs that a host lends for a request at a time (ZeroGPU), through one decorated generator.

There the decorated function runs in a process of its own, and everything that goes in and out is pickled: a step takes
along only its own maps, and errors go home as values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from mmdiff_core.encoders.photo_cache import PhotoCache
from mmdiff_core.errors import MMDiffError
from mmdiff_core.maps.attention_maps import AttentionMaps
from mmdiff_core.results import GeneratedImage, Step

if TYPE_CHECKING:
    from mmdiff_core.generation.request_plan import Plan
    from mmdiff_core.pipeline import Personalizer

Run = Callable[["Plan", PhotoCache | None], Iterator[Step]]
LEAST_SECONDS = 20  # a fork, moving the model, a first step


def run_on_loan(model: Personalizer, seconds_per_step: float = 1.0, device: str = "cuda") -> Run:
    """On a lent GPU; where the host lends none, the decorator of ``spaces`` changes nothing.

    Args:
        model: on the CPU; it is copied to the GPU once per process that is lent one.
        seconds_per_step: what a step takes at most; short loans are granted sooner.
        device: where the pictures are made.
    """
    placed: list[Personalizer] = []  # in the lent process

    def work(plan: Plan) -> Iterator[Step | MMDiffError]:
        try:
            if not placed:
                placed.append(model.moved_to(device))
            with closing(placed[0].run(plan)) as steps:  # type: ignore[type-var]
                yield from map(_packed, steps)
        except MMDiffError as error:
            yield error

    def duration(plan: Plan) -> int:
        steps = plan.numbers.steps * len(plan.request.seeds)
        return LEAST_SECONDS + round(steps * seconds_per_step)

    lent = import_module("spaces").GPU(duration=duration)(work)

    def run(plan: Plan, photos: PhotoCache | None = None) -> Iterator[Step]:
        del photos  # what a lent process learns stays there
        with closing(lent(plan)) as steps:
            yield from _unpacked(steps)

    return run


def _packed(step: Step) -> Step:
    """A step with the maps of no other step, and the picture without those that went before."""
    maps = step.maps
    newest = None if maps is None else replace(maps, records=tuple(r for r in maps.records if r.step == step.step - 1))
    picture = None if step.finished is None else replace(step.finished, maps=None)
    return replace(step, maps=newest, finished=picture, result=() if step.result is not None else None)


def _unpacked(steps: Iterator[Step | MMDiffError]) -> Iterator[Step]:
    """The steps as they were before :func:`_packed`."""
    maps: AttentionMaps | None = None
    pictures: tuple[GeneratedImage, ...] = ()
    for step in steps:
        if isinstance(step, MMDiffError):
            raise step
        before = () if maps is None or step.step == 1 else maps.records
        maps = None if step.maps is None else replace(step.maps, records=(*before, *step.maps.records))
        picture = None if step.finished is None else replace(step.finished, maps=maps)
        pictures += (picture,) if picture else ()
        yield replace(step, maps=maps, finished=picture, result=pictures if step.result is not None else None)
