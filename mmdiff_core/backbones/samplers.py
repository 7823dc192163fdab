"""The solvers to choose from: stock schedulers with the model's own noise schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diffusers import DPMSolverMultistepScheduler, SchedulerMixin, UniPCMultistepScheduler

from mmdiff_core.errors import SettingsError


@dataclass(frozen=True)
class Sampler:
    """A scheduler's class and what it is told beside the model's own configuration."""

    kind: type[SchedulerMixin]
    options: Mapping[str, Any] = field(default_factory=dict)


# All of them know diffusion models and rectified flows. UniPC corrects every step by the next one, which counts most
# where steps are few; "sde" adds fresh noise at every step, drawn from the picture's seed.
SAMPLERS: Mapping[str, Sampler] = {
    "dpm++": Sampler(DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "unipc": Sampler(UniPCMultistepScheduler, {"solver_order": 2}),
    "ddim": Sampler(DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 1}),
    "sde": Sampler(DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
}


def check_sampler(name: str | None) -> None:
    """None stands for the model's own.

    Raises:
        SettingsError: there is no such sampler.
    """
    if name is not None and (not isinstance(name, str) or name not in SAMPLERS):
        raise SettingsError(f'There is no sampler "{name}": choose one of {", ".join(SAMPLERS)}.')


def with_sampler(scheduler: SchedulerMixin, name: str | None) -> SchedulerMixin:
    """The same noise schedule under another solver; the scheduler itself for None."""
    if name is None:
        return scheduler
    check_sampler(name)
    sampler = SAMPLERS[name]
    return sampler.kind.from_config(scheduler.config, **sampler.options)
