"""The precision to train in."""

from __future__ import annotations

import time
from functools import cache

import torch


@cache
def mixed_precision(device: str) -> str:
    """Return ``bf16`` or ``fp16`` for GPUs; for CPUs ``bf16`` where it is measured to be faster, else ``no``."""
    if device != "cpu":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    seconds = {dtype: _matmul_seconds(dtype) for dtype in (torch.float32, torch.bfloat16)}
    return "bf16" if seconds[torch.bfloat16] < 0.5 * seconds[torch.float32] else "no"


def _matmul_seconds(dtype: torch.dtype, size: int = 512, repeats: int = 5) -> float:
    a = torch.ones(size, size, dtype=dtype)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - started)
    return min(times)
