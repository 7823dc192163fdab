"""The merged weights follow the UNet, and are made again only where it has changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from accelerate import cpu_offload
from diffusers import UNet2DConditionModel
from peft import LoraConfig

from mmdiff_core.backbones.merged_weights import MergedWeights, fingerprint
from tests.helpers.parts import adapter_for, tiny_unet

LAYER = "mid_block.attentions.0.transformer_blocks.0.attn2"


@torch.no_grad()
def _nudge_a_weight(unet: UNet2DConditionModel) -> None:
    unet.get_submodule(LAYER).to_v.weight.data += 1e-3 * torch.randn_like(unet.get_submodule(LAYER).to_v.weight)


def _add_lora(unet: UNet2DConditionModel) -> None:
    unet.add_adapter(LoraConfig(r=2, target_modules=["attn2.to_q"], init_lora_weights=False), "style")


def _swap_factors(unet: UNet2DConditionModel) -> None:
    torch.nn.init.normal_(unet.get_submodule(LAYER).to_q.lora_B["style"].weight)


def test_nothing_is_merged_again_for_nothing() -> None:
    unet = tiny_unet()
    weights = MergedWeights(adapter_for(unet), unet)
    assert weights.current() is weights.current()
    assert MergedWeights(None, unet).current() == {}


@pytest.mark.parametrize("changes", [[_nudge_a_weight], [_add_lora], [_add_lora, _swap_factors]])
def test_every_change_is_seen(changes: list[Callable[[UNet2DConditionModel], None]]) -> None:
    unet = tiny_unet()
    adapter = adapter_for(unet)
    weights = MergedWeights(adapter, unet)
    for change in changes:
        before, old = weights.current(), fingerprint(adapter, unet)
        change(unet)
        assert not fingerprint(adapter, unet).same_as(old)
        now = weights.current()
        assert now is not before
        fresh = adapter.weights(unet)
        assert all(torch.equal(now[path].query, fresh[path].query) for path in fresh)
        assert all(torch.equal(now[path].value, fresh[path].value) for path in fresh)


def test_weights_that_wait_elsewhere_are_fetched() -> None:
    unet = tiny_unet()
    adapter = adapter_for(unet)
    expected = MergedWeights(adapter, unet).current()
    cpu_offload(unet, torch.device("cpu"))
    weights = MergedWeights(adapter, unet)
    assert all(torch.equal(weights.current()[path].query, expected[path].query) for path in expected)
    assert unet.get_submodule(LAYER).to_q.weight.is_meta
