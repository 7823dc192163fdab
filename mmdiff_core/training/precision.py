"""The precision to train in, and the attention kernels that suit it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch.backends.cuda import allow_fp16_bf16_reduction_math_sdp, fp16_bf16_reduction_math_sdp_allowed
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

WORTH_IT = 0.8  # share of the float32 time below which a CPU trains in bf16


@cache
def mixed_precision(device: str) -> str:
    """Return ``bf16`` or ``fp16`` for GPUs; for CPUs ``bf16`` where it is measured to be faster, else ``no``.

    With matrix units for bfloat16 (AMX) a step takes a quarter of the time, with vector instructions for it two thirds,
    without either several times as long.
    """
    if device != "cpu":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    seconds = {dtype: block_seconds(dtype) for dtype in (torch.float32, torch.bfloat16)}
    return "bf16" if seconds[torch.bfloat16] < WORTH_IT * seconds[torch.float32] else "no"


@torch.enable_grad()
def block_seconds(dtype: torch.dtype, repeats: int = 5) -> float:
    """Return this thread's processor time of a small UNet block: convolution, norm, and a linear layer, with backward.

    Matrix products alone would not tell: norms and activations are slower in bf16.
    """
    x = torch.ones(4, 96, 24, 24, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_()
    kernel = torch.ones(96, 96, 3, 3, dtype=dtype, requires_grad=True)
    matrix = torch.ones(384, 96, dtype=dtype, requires_grad=True)
    times = []
    for _ in range(repeats + 1):
        started = time.thread_time()
        y = F.silu(F.group_norm(F.conv2d(x, kernel, padding=1), 16))
        F.gelu(F.linear(y.flatten(2).mT, matrix)).mean().backward()
        times.append(time.thread_time() - started)
    return min(times[1:])  # the first one also chooses kernels


@contextmanager
def attention_kernels(device: torch.device) -> Iterator[None]:
    """Use the attention kernels that train fastest in a block.

    On CPUs the backward of the fused ones is several times slower at our sizes; the plain ones compute bf16 in float32
    unless they are told not to.
    """
    if device.type != "cpu":
        yield
        return
    before = fp16_bf16_reduction_math_sdp_allowed()
    allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        allow_fp16_bf16_reduction_math_sdp(before)
