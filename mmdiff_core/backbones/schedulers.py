"""The solvers to choose from: stock schedulers with the model's own noise schedule."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)

from mmdiff_core.errors import SettingsError


@dataclass(frozen=True)
class SchedulerChoice:
    """A scheduler's class and its settings beside the model's own configuration."""

    kind: type[SchedulerMixin]
    options: Mapping[str, Any] = field(default_factory=dict)


# Karras spaces the noise levels of the steps closer together where there is little noise. Euler a and LCM add fresh
# noise at every step; LCM is for weights that were distilled for few steps. Heun evaluates the network twice a step.
# UniPC corrects every step by the next one, which counts most where steps are few; "sde" adds fresh noise at every
# step, drawn from the image's seed. Latents are never clipped: they are not pixels.
SCHEDULERS: Mapping[str, SchedulerChoice] = {
    "dpm++": SchedulerChoice(DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "unipc": SchedulerChoice(UniPCMultistepScheduler, {"solver_order": 2}),
    "euler": SchedulerChoice(EulerDiscreteScheduler),
    "ddim": SchedulerChoice(DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": False}),
    "sde": SchedulerChoice(DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    "dpm++-karras": SchedulerChoice(
        DPMSolverMultistepScheduler,
        {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": True},
    ),
    "sde-karras": SchedulerChoice(
        DPMSolverMultistepScheduler,
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "use_karras_sigmas": True},
    ),
    "euler-a": SchedulerChoice(EulerAncestralDiscreteScheduler),
    "heun": SchedulerChoice(HeunDiscreteScheduler),
    "lcm": SchedulerChoice(LCMScheduler, {"clip_sample": False}),
}

DISTILLED = "distilled"  # no solver, but a model's student for few steps, with its own

# Said again where a class is changed: diffusers fills in what a configuration left at its class's default from the
# defaults of the new class, and those of Heun and LCM are others.
NOISE_SCHEDULE = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type")

# diffusers' Euler and DDIM know no rectified flow. There the step of both is that of the first-order solver.
FLOW_SCHEDULERS: Mapping[str, SchedulerChoice] = {
    "dpm++": SCHEDULERS["dpm++"],
    "unipc": SCHEDULERS["unipc"],
    "ddim": SchedulerChoice(DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 1}),
    "sde": SCHEDULERS["sde"],
}


# EDM (arXiv 2206.00364) scales the network's input and output itself and has no betas; Playground v2.5 is of that kind.
EDM_SCHEDULERS: Mapping[str, SchedulerChoice] = {
    "dpm++": SchedulerChoice(EDMDPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "euler": SchedulerChoice(EDMEulerScheduler),
    "sde": SchedulerChoice(EDMDPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
}
EDM_SCHEDULE = (
    "num_train_timesteps",
    "sigma_min",
    "sigma_max",
    "sigma_data",
    "sigma_schedule",
    "rho",
    "prediction_type",
)


def is_edm(scheduler: SchedulerMixin) -> bool:
    """Whether a scheduler scales the network's input and output as EDM does."""
    return isinstance(scheduler, EDMDPMSolverMultistepScheduler | EDMEulerScheduler)


def schedulers_for(scheduler: SchedulerMixin) -> Mapping[str, SchedulerChoice]:
    """Return the schedulers for this one's kind of model: a diffusion model, EDM, or a rectified flow."""
    if is_edm(scheduler):
        return EDM_SCHEDULERS
    return FLOW_SCHEDULERS if scheduler.config.prediction_type == "flow_prediction" else SCHEDULERS


def check_scheduler(name: str | None, known: Collection[str]) -> None:
    """Check that a scheduler is known; None stands for the model's own.

    Raises:
        SettingsError: there is no such scheduler.
    """
    if name == DISTILLED and DISTILLED not in known:
        raise SettingsError(
            "This model has no student for few steps: choose another scheduler, or train one with "
            '"python -m mmdiff_core train toybox --stages student".'
        )
    if name is not None and (not isinstance(name, str) or name not in known):
        raise SettingsError(f'There is no scheduler "{name}": choose one of {", ".join(known)}.')


def step_of(scheduler: SchedulerMixin, evaluation: int) -> int:
    """Return the step, from 0, that an evaluation of the network belongs to; ``evaluation`` is an index of timesteps.

    Heun and KDPM2 evaluate the network twice a step, at its own timestep first. PNDM does so in its first step only,
    or, with its Runge-Kutta start, four times in each of the first three.
    """
    if isinstance(scheduler, PNDMScheduler):
        if scheduler.config.skip_prk_steps:
            return max(evaluation - 1, 0)
        return evaluation // 4 if evaluation < 12 else evaluation - 9
    return evaluation // int(scheduler.order)


def begins_step(scheduler: SchedulerMixin, evaluation: int) -> bool:
    """Whether an evaluation is the first of its step."""
    return evaluation == 0 or step_of(scheduler, evaluation) != step_of(scheduler, evaluation - 1)


def check_steps(scheduler: SchedulerMixin, steps: int) -> None:
    """Check that a scheduler, which is changed by it, can make that many steps; LCM's can make 50 at most.

    Raises:
        SettingsError: it cannot.
    """
    try:
        scheduler.set_timesteps(steps)
    except ValueError as error:
        raise SettingsError(f"The scheduler cannot make {steps} steps: take fewer, or another scheduler.") from error


def change_solver(scheduler: SchedulerMixin, name: str | None) -> SchedulerMixin:
    """Return the same noise schedule under another solver; the scheduler itself for None."""
    if name is None:
        return scheduler
    known = schedulers_for(scheduler)
    check_scheduler(name, known)
    choice = known[name]
    names = EDM_SCHEDULE if is_edm(scheduler) else NOISE_SCHEDULE
    schedule = {key: scheduler.config[key] for key in names if key in scheduler.config}
    return choice.kind.from_config(scheduler.config, **schedule, **choice.options)
