"""The low-rank update: peft's definition, merged and not, without the frozen weight."""

from __future__ import annotations

import torch
from peft import LoraConfig
from peft.tuners import lora
from torch import nn

from mmdiff_core.nn.lora import Lora, PathDict


def _trained(alpha: float | None = None) -> Lora:
    torch.manual_seed(0)
    module = Lora(12, 8, rank=4, alpha=alpha)
    nn.init.normal_(module.factors[1])
    return module


def test_a_fresh_update_is_zero() -> None:
    module = Lora(12, 8, rank=4)
    assert module.delta().shape == (8, 12)
    assert not module.delta().any()
    assert module.factors[0].any()


def test_scale_is_alpha_over_rank() -> None:
    module = _trained(alpha=2)
    down, up = module.factors
    assert torch.allclose(module.delta(), 0.5 * up @ down)
    assert torch.allclose(_trained().delta(), up @ down)


def test_only_the_factors_are_saved_and_trained() -> None:
    module = _trained()
    expected = {"peft.lora_A.default.weight": (4, 12), "peft.lora_B.default.weight": (8, 4)}
    assert {name: tuple(x.shape) for name, x in module.state_dict().items()} == expected
    assert {name for name, x in module.named_parameters() if x.requires_grad} == set(expected)


def test_merged_equals_pefts_own_unmerged_forward() -> None:
    module, frozen = _trained(alpha=3), nn.Linear(12, 8, bias=False)
    wrapped = lora.Linear(frozen, "default", LoraConfig(), r=4, lora_alpha=3)
    wrapped.load_state_dict({k.removeprefix("peft."): x for k, x in module.state_dict().items()}, strict=False)
    x = torch.randn(5, 12)
    apart = wrapped(x)
    merged = nn.functional.linear(x, module.add_to(frozen.weight))
    assert (merged - apart).abs().max() <= 1e-5 * apart.abs().max()
    assert not torch.allclose(merged, frozen(x), atol=0.1)


def test_the_update_keeps_its_precision_under_autocast() -> None:
    module = _trained()
    exact = module.delta()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module.delta(), exact)


def test_a_half_precision_weight_stays_half() -> None:
    weight = torch.randn(8, 12).half()
    merged = _trained().add_to(weight)
    assert merged.dtype == torch.float16
    assert torch.allclose(merged.float(), weight.float() + _trained().delta(), atol=5e-3)


def test_paths_become_state_dict_keys() -> None:
    modules = {"blocks.0.attn1": nn.Linear(2, 2), "blocks.0.attn2": nn.Linear(2, 2), "mid": nn.Linear(2, 2)}
    kept = PathDict(modules)
    assert kept.paths == tuple(modules)
    assert all(kept[path] is module for path, module in modules.items())
    assert "blocks.0.attn2.weight" in kept.state_dict()
