"""Both attention processors, subjects absent, present, masked and several, give the recorded outputs."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from mmdiff_core.backbones.processors import Call, ConditionedAttention
from mmdiff_core.nn.config import AttentionLayer
from mmdiff_core.nn.layer import LayerLoras, condition_layer
from mmdiff_core.nn.records import Condition, TextStates
from mmdiff_core.weights.adapter_file import load_tensors
from mmdiff_core.weights.official_release import ATTENTION, FACTORS, IMAGE_BRANCH
from tests.parity.recordings import assert_same, below, recorded_subjects, scalars, tensors

PATH = "layer"


def _attention(kind: str) -> Attention:
    """The recorded frozen layer, with our processor."""
    attention = Attention(**scalars("attn_processors")["units"][kind]["attention"])
    attention.load_state_dict(below(tensors("attn_processors"), f"weights/{kind}_attn/"))
    attention.set_processor(ConditionedAttention(PATH, attention.processor))
    return attention


def _loras(attention: Attention, kind: str, alpha: float | None = None) -> LayerLoras:
    """The recorded LoRAs of that layer."""
    layer = AttentionLayer(
        PATH, attention.query_dim, attention.cross_attention_dim, attention.inner_dim, attention.heads
    )
    table = ATTENTION if kind == "self" else ATTENTION | IMAGE_BRANCH
    loras = LayerLoras(layer, rank=8, alpha=alpha, image=kind == "cross")
    names = {
        f"{official}.{factor}.weight": f"{ours}.{ours_factor}.weight"
        for ours, official in table.items()
        for ours_factor, factor in FACTORS.items()
    }
    recorded = below(tensors("attn_processors"), f"weights/{kind}_proc/")
    load_tensors(loras, {names[key]: x for key, x in recorded.items()}, "the recording")
    return loras


def _run(attention: nn.Module, states: Tensor, text: Tensor | None, condition: Condition) -> Tensor:
    with torch.no_grad():
        return attention(states, encoder_hidden_states=text, mmdiff=Call(condition, {}))


def _condition(text: Tensor, layers: dict) -> Condition:
    batch = text.shape[0]
    empty = torch.zeros(batch, 0)
    return Condition(TextStates(text), None, empty.long(), empty, torch.ones(batch, dtype=torch.bool), layers)


@pytest.mark.parametrize("case", ["b2", "b2_alpha4_scale0.7"])
def test_self_attention(case: str) -> None:
    recorded = tensors("attn_processors")
    options = scalars("attn_processors")["self"][case]
    attention = _attention("self")
    states = recorded[f"self/{case}/inputs/hidden_states"]
    weights = _loras(attention, "self", options.get("network_alpha")).add_to(attention, options.get("lora_scale", 1.0))
    layer = condition_layer(weights, False, states, None, torch.zeros(2, 0))
    assert_same(_run(attention, states, None, _condition(states, {PATH: layer})), recorded[f"self/{case}/outputs/out"])


def test_without_a_call_the_layer_is_stock() -> None:
    recorded = tensors("attn_processors")
    attention = _attention("self")
    with torch.no_grad():
        plain = attention(recorded["self/b2/inputs/hidden_states"])
    assert_same(plain, recorded["self/b2/outputs/plain_no_lora"])


@pytest.mark.parametrize("case", sorted(scalars("attn_processors")["strengths"]))
def test_cross_attention(case: str) -> None:
    recorded = tensors("attn_processors")
    inputs = below(recorded, f"cross/{case}/inputs/")
    scale = scalars("attn_processors")["strengths"][case]
    attention = _attention("cross")
    subjects = recorded_subjects(inputs["image_hidden_states"], inputs["image_token_idx_mask"])
    scales = torch.full((subjects.tokens.shape[0], int(subjects.owners.max()) + 1), 1.0)
    scales = scales if scale is None else scales * scale
    text = inputs["encoder_hidden_states"]
    weights = _loras(attention, "cross").add_to(attention)
    layer = condition_layer(weights, True, text, subjects, scales)
    ours = _run(attention, inputs["hidden_states"], text, _condition(text, {PATH: layer}))
    assert_same(ours, recorded[f"cross/{case}/outputs/out"])
