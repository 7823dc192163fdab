"""Models that were distilled to make an image in a few steps: how to tell them, and the numbers that they want.

The files say little of it. A UNet that reads the guidance is told by its configuration, LCM and SDXL-Turbo by their
schedulers, and most others by their names alone.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

import torch
from diffusers import (
    DiffusionPipeline,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    SchedulerMixin,
    TCDScheduler,
)
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor

from mmdiff_core.backbones.base import Defaults
from mmdiff_core.backbones.schedulers import SchedulerChoice

STEPS = 4
MAX_STEPS = 8
NO_GUIDANCE = 1.0
READ_GUIDANCE = 8.0  # what LCM's authors give a UNet that reads it
# Words in a name, such as "sdxl-turbo", "dreamshaperXL_lightning", "LCM_Dreamshaper_v7" and "Hyper-SD15-8steps".
DISTILLED_NAME = re.compile(r"turbo|lightning|dmd2?(?![a-z])|(?<![a-z])lcm|lcm(?![a-z])|hyper[-_ ]?sd", re.IGNORECASE)
NUMBER_OF_STEPS = re.compile(r"(?<!\d)([1-9]\d?)[-_ ]?steps?", re.IGNORECASE)
TRAILING = SchedulerChoice(EulerDiscreteScheduler, {"timestep_spacing": "trailing"})
# By the first letters of the word in a name; Lightning and Hyper-SD are TRAILING.
FEW_STEP_SCHEDULERS = {
    "tur": SchedulerChoice(EulerAncestralDiscreteScheduler, {"timestep_spacing": "trailing"}),
    "lcm": SchedulerChoice(LCMScheduler, {"clip_sample": False}),
    "dmd": SchedulerChoice(LCMScheduler, {"clip_sample": False}),
}


def usual_numbers(pipe: DiffusionPipeline, name: str, otherwise: Defaults) -> Defaults:
    """Return the steps and the guidance that a model was made for.

    Args:
        pipe: the open model.
        name: its folder, file or name on the hub.
        otherwise: for a model that is not distilled.
    """
    reads_guidance = pipe.unet.config.time_cond_proj_dim is not None
    if not (reads_guidance or is_distilled(name, pipe.scheduler)):
        return otherwise
    named = NUMBER_OF_STEPS.search(_last_part(name))
    steps = min(int(named[1]), MAX_STEPS) if named else STEPS
    return Defaults(steps, READ_GUIDANCE if reads_guidance else NO_GUIDANCE, few=True)


def is_distilled(name: str, scheduler: SchedulerMixin) -> bool:
    """Whether a model was distilled, by its scheduler or its name."""
    if isinstance(scheduler, LCMScheduler | TCDScheduler):
        return True
    return _starts_from_noise_alone(scheduler.config) or DISTILLED_NAME.search(_last_part(name)) is not None


def _starts_from_noise_alone(config: Any) -> bool:
    """Whether the first of a few steps is at the last timestep, as Turbo was trained; so is, but for another reason, a
    model whose schedule ends in pure noise."""
    ends_in_noise = config.get("rescale_betas_zero_snr", False) or config.get("prediction_type") != "epsilon"
    return config.get("timestep_spacing") == "trailing" and not ends_in_noise


def _last_part(name: str) -> str:
    """Return a name without the folders around it, which tell nothing of the model."""
    return PurePath(name).name


def scheduler_for_name(name: str) -> SchedulerChoice | None:
    """Return the scheduler for a model whose file has none, by its name; None if it is not for few steps."""
    found = DISTILLED_NAME.search(_last_part(name))
    return None if found is None else FEW_STEP_SCHEDULERS.get(found[0].lower()[:3], TRAILING)


def embed_guidance(guidance: float, width: int) -> Tensor:
    """Return a guidance as such a UNet reads it, (1, width) sines and cosines (section 4.3 of arXiv 2310.04378)."""
    weight = torch.tensor([(guidance - 1) * 1000])
    return get_timestep_embedding(weight, width, flip_sin_to_cos=False, downscale_freq_shift=1)
