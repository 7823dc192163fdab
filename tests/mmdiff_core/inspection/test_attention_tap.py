"""What the hooks see, and which step an evaluation is."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, HeunDiscreteScheduler, SchedulerMixin

from mmdiff_core.errors import ModelError
from mmdiff_core.inspection.attention_tap import AttentionTap, StepCounter
from tests.helpers import tiny

CROSS = "mid_block.attentions.0.transformer_blocks.0.attn2"
SELF = "mid_block.attentions.0.transformer_blocks.0.attn1"


def test_queries_and_keys_of_cross_and_self_attention_come_in_the_order_of_a_forward() -> None:
    unet, events = tiny.stable_diffusion().unet, list[object]()
    tap = AttentionTap(
        unet,
        [CROSS, SELF],
        lambda latents, timestep, states: events.append((latents.shape, timestep, states.shape)),
        lambda path, query, key: events.append((path, query.shape, key.shape)),
        lambda: events.append("end"),
    )
    with torch.no_grad():
        unet(torch.randn(2, 4, 8, 12), 7, torch.randn(2, 77, 32))
        tap.close()
        unet(torch.randn(2, 4, 8, 12), 7, encoder_hidden_states=torch.randn(2, 77, 32))
    assert events == [
        ((2, 4, 8, 12), 7, (2, 77, 32)),
        (SELF, (2, 24, 32), (2, 24, 32)),
        (CROSS, (2, 24, 32), (2, 77, 32)),
        "end",
    ]


def test_fused_projections_are_refused() -> None:
    unet = tiny.stable_diffusion().unet
    unet.fuse_qkv_projections()
    with pytest.raises(ModelError, match="unfuse_qkv_projections"):
        AttentionTap(unet, [CROSS], lambda *_: None, lambda *_: None, lambda: None)


def _scheduler(kind: type[SchedulerMixin], steps: int) -> SchedulerMixin:
    scheduler = kind(beta_schedule="scaled_linear")
    scheduler.set_timesteps(steps)
    return scheduler


def test_an_evaluation_out_of_turn_is_refused() -> None:
    scheduler = _scheduler(DDIMScheduler, 4)
    times = [float(time) for time in scheduler.timesteps]
    counter = StepCounter(scheduler, times[1])
    assert counter.steps == 3
    assert counter.count(times[1]) == 0
    assert counter.count(times[2]) == 1
    with pytest.raises(ModelError, match="in another order"):
        counter.count(times[1])


def test_a_second_evaluation_of_a_step_is_none_of_its_own() -> None:
    scheduler = _scheduler(HeunDiscreteScheduler, 3)
    times = [float(time) for time in scheduler.timesteps]
    counter = StepCounter(scheduler, times[0])
    assert [counter.count(time) for time in times] == [0, None, 1, None, 2]
    assert counter.steps == 3
