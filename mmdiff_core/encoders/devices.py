"""Where a network computes."""

from __future__ import annotations

import torch
from diffusers import DiffusionPipeline
from torch import nn


def device_of(module: nn.Module) -> torch.device:
    """Return the device where a module computes, even if its weights are offloaded in between."""
    for part in module.modules():
        device = getattr(getattr(part, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return next(module.parameters()).device


def execution_device(pipe: DiffusionPipeline) -> torch.device:
    """Return where a pipeline computes; with a part offloaded, its own answer may be where that part waits."""
    device: torch.device = pipe._execution_device
    return device_of(pipe.unet) if device.type == "meta" else device


def is_hooked(module: nn.Module) -> bool:
    """Whether a module or a part of it is offloaded by hooks, which bring it to its device when it is called."""
    return any(hasattr(part, "_hf_hook") for part in module.modules())
