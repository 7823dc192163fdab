"""The large UNets have the sizes that they say; nothing is allocated for them."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel

from mmdiff_core.benchmarks.bench_models import configuration

META = torch.device("meta")


@pytest.mark.parametrize(("name", "parameters"), [("sd15", 859_520_964), ("sdxl", 2_567_463_684)])
def test_as_large_as_the_real_ones(name: str, parameters: int) -> None:
    with META:
        unet = UNet2DConditionModel(**configuration(name, torch.device("cuda"))[0])
    assert sum(x.numel() for x in unet.parameters()) == parameters


def test_the_pair_of_blocks_stands_for_sdxl_on_a_cpu() -> None:
    config, what = configuration("sdxl", torch.device("cpu"))
    assert "pair of blocks" in what
    with META:
        unet = UNet2DConditionModel(**config)
        x = torch.empty(2, 4, 16, 16)
        assert unet(x, torch.tensor(500), torch.empty(2, 77, 2048)).sample.shape == x.shape
    assert len([name for name in unet.attn_processors if "attn2" in name]) == 9
