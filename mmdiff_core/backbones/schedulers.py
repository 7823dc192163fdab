"""The solvers to choose from: stock schedulers with the model's own noise schedule."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)

from mmdiff_core.errors import SettingsError


@dataclass(frozen=True)
class Sampler:
    """A scheduler's class and what it is told beside the model's own configuration."""

    kind: type[SchedulerMixin]
    options: Mapping[str, Any] = field(default_factory=dict)


# UniPC corrects every step by the next one, which counts most where steps are few; "sde" adds fresh noise at every
# step, drawn from the picture's seed. Latents are never clipped: they are not pixels.
SAMPLERS: Mapping[str, Sampler] = {
    "dpm++": Sampler(DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "unipc": Sampler(UniPCMultistepScheduler, {"solver_order": 2}),
    "euler": Sampler(EulerDiscreteScheduler),
    "ddim": Sampler(DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": False}),
    "sde": Sampler(DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
}


# diffusers' Euler and DDIM know no rectified flow. There the step of both is that of the first-order solver.
FLOW_SAMPLERS: Mapping[str, Sampler] = {
    "dpm++": SAMPLERS["dpm++"],
    "unipc": SAMPLERS["unipc"],
    "ddim": Sampler(DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 1}),
    "sde": SAMPLERS["sde"],
}


def samplers_for(scheduler: SchedulerMixin) -> Mapping[str, Sampler]:
    """Those that know the kind of model that a scheduler is of: a diffusion model or a rectified flow."""
    return FLOW_SAMPLERS if scheduler.config.prediction_type == "flow_prediction" else SAMPLERS


def check_sampler(name: str | None, known: Collection[str]) -> None:
    """None stands for the model's own.

    Raises:
        SettingsError: there is no such sampler.
    """
    if name is not None and (not isinstance(name, str) or name not in known):
        raise SettingsError(f'There is no sampler "{name}": choose one of {", ".join(known)}.')


def with_sampler(scheduler: SchedulerMixin, name: str | None) -> SchedulerMixin:
    """The same noise schedule under another solver; the scheduler itself for None."""
    if name is None:
        return scheduler
    known = samplers_for(scheduler)
    check_sampler(name, known)
    sampler = known[name]
    return sampler.kind.from_config(scheduler.config, **sampler.options)
