"""Both text encoders, plain and with fused words, with and without their LoRA, give the recorded states."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from mmdiff_core.backbones.processors import cross_attention_layers, self_attention_layers
from mmdiff_core.encoders.text import FusedWords, TextEncoder, encode_text
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.records import PromptTokens
from mmdiff_core.weights.official_release import convert_official
from tests.parity.recordings import assert_same, below, configs, tensors


@pytest.fixture(scope="module")
def encoders() -> tuple[TextEncoder, TextEncoder]:
    return base_encoders()


def base_encoders() -> tuple[TextEncoder, TextEncoder]:
    """The recorded frozen text encoders of SDXL's shape."""
    kinds = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    return tuple(_encoder(name, kind) for name, kind in kinds.items())


def _encoder(name: str, kind: type) -> TextEncoder:
    encoder = kind(CLIPTextConfig(**configs()[name])).eval()
    weights = below(tensors("base_A"), f"{name}/")
    if not hasattr(encoder, "text_model"):
        weights = below(weights, "text_model.")
    encoder.load_state_dict(weights)
    return encoder


@pytest.fixture(scope="module", params=[False, True], ids=["official", "te2lora_applied"])
def adapter(request: pytest.FixtureRequest) -> MMDiffAdapter:
    """The recorded checkpoint, without (as the official code runs) and with the second encoder's LoRA."""
    unet = UNet2DConditionModel.from_config(configs()["unet"])
    layers = cross_attention_layers(unet), self_attention_layers(unet)
    return convert_official(tensors("ckpt_A"), *layers, apply_second_text_lora=request.param).adapter


@pytest.mark.parametrize("case", ["one_pure", "one_fused", "two_pure", "two_fused"])
@pytest.mark.parametrize("index", [0, 1])
def test_recorded_states(
    encoders: tuple[TextEncoder, TextEncoder], adapter: MMDiffAdapter, index: int, case: str
) -> None:
    unit = "te1_official" if index == 0 else "te2_official"
    if index == 1 and adapter.config.text_towers[1].lora_active:
        unit, case = "te2_te2lora_applied", "two_fused"
    recorded = below(tensors("text_encoder"), f"{unit}/{case}/")
    tokens, fused = _words(recorded, adapter, index)
    encoder, deltas = encoders[index], adapter.text_encoder_deltas(index)

    with torch.no_grad():
        last = encode_text(encoder, tokens, fused, deltas=deltas)
        penultimate = encode_text(encoder, tokens, fused, deltas=deltas, penultimate=True)

    assert_same(penultimate.states, recorded["outputs/penultimate_hidden"])
    assert_same(last.states if index == 0 else last.pooled, recorded["outputs/first_output"])


def _words(
    recorded: dict[str, torch.Tensor], adapter: MMDiffAdapter, index: int
) -> tuple[PromptTokens, FusedWords | None]:
    """The recorded ids, and the recorded vectors at the marked words."""
    ids = recorded["inputs/input_ids"].long()
    if "inputs/image_token_mask" not in recorded:
        return PromptTokens(ids, torch.zeros(1, 0, dtype=torch.long)), None
    words = recorded["inputs/image_token_mask"].nonzero()[:, 1][None]  # (1, S)
    return PromptTokens(ids, words), FusedWords(adapter.word_fusions[index], recorded["inputs/object_embeds"][None])


def test_no_photo_reaches_the_next_call(encoders: tuple[TextEncoder, TextEncoder], adapter: MMDiffAdapter) -> None:
    """The official code keeps the last call's subject in the "plain" prompt of the next; ours cannot."""
    fused_case = below(tensors("text_encoder"), "te1_official/one_fused/")
    plain_case = below(tensors("text_encoder"), "te1_official/one_pure/")
    deltas = adapter.text_encoder_deltas(0)
    with torch.no_grad():
        encode_text(encoders[0], *_words(fused_case, adapter, 0), deltas=deltas)
        after = encode_text(encoders[0], *_words(plain_case, adapter, 0), deltas=deltas)
    assert_same(after.states, plain_case["outputs/first_output"])
