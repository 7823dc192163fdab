"""A whole UNet with the converted official checkpoint gives the recorded noise, layer by layer."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from mmdiff_core.backbones.processors import (
    Call,
    cross_attention_layers,
    install,
    layer_sizes,
    self_attention_layers,
    uninstall,
)
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.records import Condition, ImageFeatures, TextStates
from mmdiff_core.weights.official_release import convert_official
from tests.parity.recordings import assert_same, below, configs, recorded_subjects, scalars, tensors


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    unet = UNet2DConditionModel.from_config(configs()["unet"]).eval()
    unet.load_state_dict(below(tensors("base_A"), "unet/"))
    return unet


@pytest.fixture(scope="module")
def adapter(unet: UNet2DConditionModel) -> MMDiffAdapter:
    return convert_official(tensors("ckpt_A"), cross_attention_layers(unet), self_attention_layers(unet)).adapter


def _noise(unet: UNet2DConditionModel, call: Call | None) -> Tensor:
    inputs = below(tensors("unet"), "shared_inputs/")
    with torch.no_grad():
        return unet(
            inputs["sample"],
            scalars("unet")["timestep"],
            encoder_hidden_states=inputs["encoder_hidden_states"],
            added_cond_kwargs={"text_embeds": inputs["text_embeds"], "time_ids": inputs["time_ids"]},
            cross_attention_kwargs=None if call is None else {"mmdiff": call},
        ).sample


def _call(unet: UNet2DConditionModel, adapter: MMDiffAdapter, case: str) -> Call:
    text = tensors("unet")["shared_inputs/encoder_hidden_states"]
    inputs = below(tensors("unet"), f"mmdiff/{case}/inputs/")
    subjects = recorded_subjects(inputs["image_hidden_states"], inputs["image_token_idx_mask"])
    scale = scalars("unet")["strengths"][case]
    scales = torch.full((2, int(subjects.owners.max()) + 1), 1.0 if scale is None else scale)
    with torch.no_grad():
        layers = adapter.condition_layers(adapter.weights(unet), text, subjects, scales)
    words = torch.full(scales.shape, -1)
    condition = Condition(TextStates(text), subjects, words, scales, torch.tensor([False, True]), layers)
    return Call(condition, layer_sizes(unet, 16, 16))


def test_subject_tokens(adapter: MMDiffAdapter) -> None:
    """Three photos of faces through the converted adapter's own door."""
    recorded = below(tensors("face_head"), "face_head/n3/")
    patches = recorded["inputs/clip_embeds"][None, :, None]  # (1, S, 1, M, Dh)
    features = ImageFeatures(torch.zeros(1, 3, 1, 56), patches, torch.ones(1, 3, 1, dtype=torch.bool))
    with torch.no_grad():
        subjects = adapter.embed(features, recorded["inputs/face_embeds"][None, :, None])
    assert_same(subjects.tokens.unflatten(1, (3, 4))[0], recorded["outputs/out"])


@pytest.mark.parametrize("case", sorted(scalars("unet")["strengths"]))
def test_noise(unet: UNet2DConditionModel, adapter: MMDiffAdapter, case: str) -> None:
    install(unet)
    ours = _noise(unet, _call(unet, adapter, case))
    uninstall(unet)
    assert_same(ours, tensors("unet")[f"mmdiff/{case}/outputs/noise_pred"])


def test_every_layer(unet: UNet2DConditionModel, adapter: MMDiffAdapter) -> None:
    recorded = below(tensors("unet"), "mmdiff/cfg_1subj_0.8/outputs/attn_out/")
    assert len(recorded) == len(unet.attn_processors)
    found: dict[str, Tensor] = {}
    hooks = [
        unet.get_submodule(path).register_forward_hook(lambda _, __, output, path=path: found.update({path: output}))
        for path in recorded
    ]
    install(unet)
    _noise(unet, _call(unet, adapter, "cfg_1subj_0.8"))
    uninstall(unet)
    for hook in hooks:
        hook.remove()
    for path, output in recorded.items():
        assert_same(found[path], output)


def test_no_call_is_the_base_model(unet: UNet2DConditionModel) -> None:
    install(unet)
    ours = _noise(unet, None)
    uninstall(unet)
    assert_same(ours, tensors("unet")["plain/no_adapter/outputs/noise_pred"])
    assert torch.equal(ours, _noise(unet, None))
