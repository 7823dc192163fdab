"""The adapter: what it embeds, what it merges, and that everything in it can be trained."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from peft.tuners import lora
from torch import Tensor, nn

from mmdiff_core.backbones.processors import install
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.layer import LayerLoras
from mmdiff_core.types import Recording
from tests.helpers.parts import (
    CONTEXT,
    TOKENS,
    WORD,
    MapList,
    adapter_for,
    condition_for,
    latents,
    photo_features,
    run,
    text_states,
    tiny_unet,
)


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    unet = tiny_unet()
    install(unet)
    return unet


@pytest.fixture(scope="module")
def adapter(unet: UNet2DConditionModel) -> MMDiffAdapter:
    return adapter_for(unet)


# ---------------------------------------------------------------- embeddings


def test_tokens_come_subject_by_subject_photo_by_photo(adapter: MMDiffAdapter) -> None:
    features = photo_features(batch=2, subjects=3, photos=2)
    features.present[1, 2, 1] = False
    subjects = adapter.embed(features)
    assert subjects.tokens.shape == (2, 3 * 2 * TOKENS, CONTEXT)
    assert subjects.owners.tolist() == [s for s in range(3) for _ in range(2 * TOKENS)]
    assert subjects.present.sum(1).tolist() == [6 * TOKENS, 5 * TOKENS]
    assert not subjects.present[1, -TOKENS:].any()
    one = replace(features, **{k: getattr(features, k)[1:, 2:, :1] for k in ("cls", "patches", "present")})
    alone = adapter.embed(one).tokens[0]
    assert torch.allclose(subjects.tokens[1, 4 * TOKENS : 5 * TOKENS], alone, atol=1e-5)


def test_words_take_the_mean_of_the_photos_that_are_there(adapter: MMDiffAdapter) -> None:
    features = photo_features(photos=3)
    features.present[:, :, 2] = False
    features.cls[:, :, 2] = 1e3
    words = adapter.embed(features).words
    expected = adapter.subject_projector(features.cls[:, :, :2].mean(2))
    assert [tuple(x.shape) for x in words] == [(2, 2, WORD), (2, 2, 12)]
    assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(words, expected, strict=True))


def test_the_face_variant_reads_identities(unet: UNet2DConditionModel) -> None:
    face, features = adapter_for(unet, source="face"), photo_features()
    with pytest.raises(ValueError, match="identity"):
        face.embed(features)
    faces = torch.randn(2, 2, 2, 512)
    first, second = face.embed(features, faces), face.embed(features, faces.flip(0))
    assert not torch.allclose(first.tokens, second.tokens)
    assert torch.equal(first.words[0], second.words[0])


def test_parts_can_be_left_out(unet: UNet2DConditionModel) -> None:
    features = photo_features()
    text_only = adapter_for(unet, image_branch=False)
    subjects = text_only.embed(features)
    assert subjects.tokens.shape == (2, 0, CONTEXT)
    assert len(subjects.words) == 2
    layers = condition_for(text_only, unet, subjects).layers
    assert all(layer.image is None for layer in layers.values())
    image_only = adapter_for(unet, word_fusion=False, refiner_depth=0)
    assert image_only.embed(features).words == ()
    projected = image_only.token_projector(features.cls).flatten(1, 3)
    assert torch.equal(image_only.embed(features).tokens, projected)


# ---------------------------------------------------------------- weights


def test_merged_equals_unmerged(unet: UNet2DConditionModel, adapter: MMDiffAdapter) -> None:
    """peft's own unmerged layers, text and image LoRA in turn, against the weights computed once."""
    path = adapter.config.cross_attention[0].path
    attn, loras, merged = unet.get_submodule(path), adapter.unet[path], adapter.weights(unet)[path]
    x, states = torch.randn(2, 6, attn.query_dim), text_states()
    pairs = [
        (attn.to_q, loras.query, merged.query, x),
        (attn.to_k, loras.key, merged.key, states),
        (attn.to_v, loras.value, merged.value, states),
        (attn.to_k, loras.key_image, merged.key_image, states),
        (attn.to_v, loras.value_image, merged.value_image, states),
        (attn.to_out[0], loras.output, merged.output, torch.randn(2, 6, attn.inner_dim)),
    ]
    for frozen, module, weight, inputs in pairs:
        wrapped = lora.Linear(frozen, "default", LoraConfig(), r=4, lora_alpha=4)
        wrapped.load_state_dict({k.removeprefix("peft."): v for k, v in module.state_dict().items()}, strict=False)
        apart = wrapped(inputs)
        difference = nn.functional.linear(inputs, weight, frozen.bias) - apart
        assert difference.abs().max() <= 1e-5 * apart.abs().max()


def test_merging_leaves_the_unet_alone(unet: UNet2DConditionModel, adapter: MMDiffAdapter) -> None:
    before = {name: x.clone() for name, x in unet.state_dict().items()}
    adapter.weights(unet)
    assert all(torch.equal(x, before[name]) for name, x in unet.state_dict().items())


def test_a_scale_multiplies_every_lora(unet: UNet2DConditionModel, adapter: MMDiffAdapter) -> None:
    path = adapter.config.cross_attention[0].path
    frozen = unet.get_submodule(path).to_q.weight
    full, half, none = (adapter.weights(unet, scale)[path].query - frozen for scale in (1.0, 0.5, 0.0))
    assert torch.allclose(full, 2 * half, atol=1e-6)
    assert not none.any()
    assert full.any()


def test_a_fresh_adapter_leaves_the_unet_as_it_is(unet: UNet2DConditionModel) -> None:
    fresh, noise = adapter_for(unet, trained=False), latents()
    with torch.no_grad():
        condition = condition_for(fresh, unet, fresh.embed(photo_features()), scales=(0.0, 0.0))
        assert torch.equal(run(unet, noise, condition), run(unet, noise, None))


# ---------------------------------------------------------------- training


def _loss(unet: UNet2DConditionModel, adapter: MMDiffAdapter) -> Tensor:
    """Touches noise, maps, words and the LoRAs of the text encoders."""
    subjects = adapter.embed(photo_features())
    recorder = MapList(Recording(kinds=("text", "image")))
    noise = run(unet, latents(), condition_for(adapter, unet, subjects), recorder)
    words = [
        fusion(torch.randn(2, 2, x.shape[-1]), x)
        for fusion, x in zip(adapter.word_fusions, subjects.words, strict=True)
    ]
    maps = [x for maps in recorder.maps for x in maps.kinds.values()]
    deltas = [delta for i in range(2) for delta in adapter.text_encoder_deltas(i).values()]
    return sum((x.square().mean() for x in (noise, *maps, *words, *deltas)), torch.zeros(()))


def test_gradients_reach_every_trainable_tensor_and_the_unet(unet: UNet2DConditionModel) -> None:
    adapter = adapter_for(unet)
    unet.zero_grad()
    _loss(unet, adapter).backward()
    untouched = {name for name, x in adapter.named_parameters() if x.grad is None or not x.grad.any()}
    inactive = {name for name, _ in adapter.named_parameters() if name.startswith("text_encoders.1.")}
    assert untouched == inactive
    assert inactive
    frozen = [unet.get_submodule(layer.path).to_k.weight for layer in adapter.config.cross_attention]
    assert all(weight.grad is not None and weight.grad.any() for weight in frozen)
    assert all(x.grad.isfinite().all() for x in adapter.parameters() if x.grad is not None)


def test_a_fresh_adapter_starts_to_learn(unet: UNet2DConditionModel) -> None:
    adapter = adapter_for(unet, trained=False)
    _loss(unet, adapter).backward()
    untouched = {name for name, x in adapter.named_parameters() if x.grad is None or not x.grad.any()}
    assert all("lora_A" in name or name.startswith("text_encoders.") for name in untouched)


def test_training_runs_under_autocast(unet: UNet2DConditionModel) -> None:
    exact, half = adapter_for(unet), adapter_for(unet)
    _loss(unet, exact).backward()
    with torch.autocast("cpu", torch.bfloat16):
        loss = _loss(unet, half)
    loss.backward()
    gradients = [x.grad for x in half.parameters() if x.grad is not None]
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in gradients)
    key = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.key_image.peft.lora_B.default.weight"
    one, other = exact.get_parameter(key).grad, half.get_parameter(key).grad
    assert nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.95


def test_calls_leave_nothing_behind(unet: UNet2DConditionModel, adapter: MMDiffAdapter) -> None:
    def contents() -> dict[str, object]:
        return {name: (sorted(vars(m)), len(m._buffers)) for name, m in adapter.named_modules()}

    before, tensors = contents(), {name: x.clone() for name, x in adapter.state_dict().items()}
    _loss(unet, adapter)
    assert contents() == before
    assert all(torch.equal(x, tensors[name]) for name, x in adapter.state_dict().items())


# ---------------------------------------------------------------- names


def test_keys_are_the_paths_of_the_unet(unet: UNet2DConditionModel, adapter: MMDiffAdapter) -> None:
    paths = {name.removesuffix(".processor") for name in unet.attn_processors}
    assert set(adapter.unet.paths) == paths
    for path in paths:
        assert isinstance(adapter.get_submodule(f"unet.{path}"), LayerLoras)
        assert f"unet.{path}.query.peft.lora_A.default.weight" in adapter.state_dict()
    null_keys = [name for name in adapter.state_dict() if name.endswith("null_key")]
    assert len(null_keys) == len(adapter.config.cross_attention)


def test_text_encoder_deltas(adapter: MMDiffAdapter) -> None:
    deltas = adapter.text_encoder_deltas(0)
    names = {f"encoder.layers.{i}.self_attn.{x}_proj" for i in range(2) for x in ("q", "k", "v", "out")}
    assert set(deltas) == names
    assert all(delta.shape == (WORD, WORD) and delta.any() for delta in deltas.values())
    assert adapter.text_encoder_deltas(1) == {}, "kept, but not applied unless asked"
    assert any(name.startswith("text_encoders.1.") for name in adapter.state_dict())
