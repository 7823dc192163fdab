"""Calls of a UNet as such, without a pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from mmdiff_core.errors import ModelError
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.inspection.token_recorder import InspectedCall, TokenRecorder
from mmdiff_core.inspection.token_table import read_tokens
from tests.helpers import tiny


def _scheduler() -> DDIMScheduler:
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(2)
    return scheduler


def _forward(unet: UNet2DConditionModel, states: torch.Tensor, rows: int) -> None:
    with torch.no_grad():
        unet(torch.zeros(rows, 4, 8, 8), 500, encoder_hidden_states=states)


def test_the_conditional_rows_are_told_by_their_states_wherever_they_are() -> None:
    unet = tiny.stable_diffusion().unet
    table = read_tokens(tiny.tokenizer(), "a cat")
    states = torch.randn(3, 77, 32, generator=torch.Generator().manual_seed(0))
    seen = []
    for batch, known in ((states, states[1:2]), (states[[0, 2, 1]], states[1:2]), (states[[0, 2, 1]], None)):
        recorder = TokenRecorder(unet, TokenRecording())
        recorder.begin_call(InspectedCall((table,), _scheduler(), known))
        _forward(unet, batch, 3)
        recorder.close()
        seen.append(recorder.images[0].at("cat"))
    assert np.allclose(seen[0], seen[1], atol=1e-3)
    assert np.allclose(seen[1], seen[2], atol=1e-3)


def test_rows_that_are_no_multiple_of_the_images_are_refused() -> None:
    unet = tiny.stable_diffusion().unet
    table = read_tokens(tiny.tokenizer(), "a cat")
    recorder = TokenRecorder(unet, TokenRecording())
    recorder.begin_call(InspectedCall((table, table), _scheduler()))
    with pytest.raises(ModelError, match="3 rows for 2 images"):
        _forward(unet, torch.randn(3, 77, 32), 3)
    recorder.close()


def test_another_number_of_tokens_is_refused() -> None:
    unet = tiny.stable_diffusion().unet
    recorder = TokenRecorder(unet, TokenRecording())
    recorder.begin_call(InspectedCall((read_tokens(tiny.tokenizer(), "a cat"),), _scheduler()))
    with pytest.raises(ModelError, match="reads 40 tokens and the prompt has 77"):
        _forward(unet, torch.randn(1, 40, 32), 1)
    recorder.close()
