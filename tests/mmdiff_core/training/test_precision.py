"""The precision is measured, and attention on CPUs is plain and in the precision of its inputs."""

from __future__ import annotations

import pytest
import torch
from torch.backends.cuda import fp16_bf16_reduction_math_sdp_allowed
from torch.nn import functional as F

from mmdiff_core.training import precision


@pytest.mark.parametrize(
    ("float32", "bfloat16", "chosen"),
    [(1.0, 0.25, "bf16"), (1.0, 0.68, "bf16"), (1.0, 0.95, "no"), (1.0, 6.0, "no")],
    ids=["matrix units", "vector instructions", "no gain", "emulated"],
)
def test_a_cpu_trains_in_what_is_faster_on_it(
    float32: float, bfloat16: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {torch.float32: float32, torch.bfloat16: bfloat16}
    monkeypatch.setattr(precision, "block_seconds", lambda dtype: seconds[dtype])
    assert precision.mixed_precision.__wrapped__("cpu") == chosen


@torch.no_grad()  # as encoders measure
def test_the_measurement_is_of_this_machine() -> None:
    assert precision.block_seconds(torch.float32, repeats=1) > 0


def test_attention_kernels_are_set_for_a_block_only() -> None:
    before = fp16_bf16_reduction_math_sdp_allowed()
    query = torch.randn(1, 1, 4, 8, dtype=torch.bfloat16, requires_grad=True)
    with precision.attention_kernels(torch.device("cpu")):
        assert fp16_bf16_reduction_math_sdp_allowed()
        F.scaled_dot_product_attention(query, query, query).sum().backward()
    assert fp16_bf16_reduction_math_sdp_allowed() == before
    with precision.attention_kernels(torch.device("cuda")):  # nothing to set
        assert fp16_bf16_reduction_math_sdp_allowed() == before
