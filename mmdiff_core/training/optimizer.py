"""The optimizer of a training run, in full or in 8-bit precision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mmdiff_core.errors import SettingsError
from mmdiff_core.training.stage import StageSettings

BETAS = (0.9, 0.99)


def make_optimizer(
    parameters: Sequence[nn.Parameter], settings: StageSettings, eight_bit: bool = False
) -> torch.optim.Optimizer:
    """Return AdamW; with ``eight_bit`` its state takes a quarter of the memory.

    Raises:
        SettingsError: bitsandbytes, which has the 8-bit one, is not installed or does not support this machine.
    """
    if not eight_bit:
        return torch.optim.AdamW(parameters, settings.lr, betas=BETAS, weight_decay=settings.weight_decay, fused=True)
    try:
        from bitsandbytes.optim import AdamW8bit
    except (ImportError, RuntimeError) as error:
        raise SettingsError(
            "The 8-bit optimizer needs bitsandbytes, which cannot be loaded here: pip install bitsandbytes, or use "
            f"--optimizer adamw. ({error})"
        ) from error
    return AdamW8bit(parameters, settings.lr, betas=BETAS, weight_decay=settings.weight_decay)
