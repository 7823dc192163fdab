"""Generation on GPUs that a host lends for a request at a time (ZeroGPU), through one decorated generator.

On such a host the decorated function runs in a separate process, and everything that crosses over is pickled. A step
therefore carries only its own maps, and errors come back as values.
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
    """Return a function that runs plans on a lent GPU; where the host lends none, ``spaces`` changes nothing.

    Args:
        model: on the CPU; each process that is lent a GPU copies it there once.
        seconds_per_step: the most that a step takes; shorter loans are granted sooner.
        device: where the images are made.
    """
    placed: list[Personalizer] = []  # filled in the process that has the GPU

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
        del photos  # the other process cannot share them
        with closing(lent(plan)) as steps:
            yield from _unpacked(steps)

    return run


def _packed(step: Step) -> Step:
    """Strip a step of everything that earlier steps have sent: their maps and finished images."""
    maps = step.maps
    newest = None if maps is None else replace(maps, records=tuple(r for r in maps.records if r.step == step.step - 1))
    picture = None if step.finished is None else replace(step.finished, maps=None)
    return replace(step, maps=newest, finished=picture, result=() if step.result is not None else None)


def _unpacked(steps: Iterator[Step | MMDiffError]) -> Iterator[Step]:
    """Restore the steps that :func:`_packed` stripped."""
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
