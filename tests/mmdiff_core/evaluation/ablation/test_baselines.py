"""The baselines compute what they are known for."""

from __future__ import annotations

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor

from mmdiff_core.backbones.toybox import Toybox, load_toybox
from mmdiff_core.encoders.prompt import find_words, tokenize
from mmdiff_core.evaluation.ablation.adapter_variants import FULL, VARIANTS
from mmdiff_core.evaluation.ablation.run import AblationOptions
from mmdiff_core.evaluation.ablation.stage import create_variant_adapter
from mmdiff_core.generation.conditioning import build_condition
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.records import ImageFeatures
from mmdiff_core.weights.ip_adapter import ip_adapter_names
from tests.helpers import tiny


def test_ip_adapter_computes_what_diffusers_computes(options: AblationOptions) -> None:
    """Two subjects with a photo each: the same UNet under diffusers' own processors."""
    backbone, like = load_toybox(options.start)
    baseline = create_variant_adapter(VARIANTS["ip-adapter-plus"], like.config, backbone.unet).eval()
    for parameter in baseline.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    text, words = find_words("a cat next to a dog", ("cat", "dog"))
    features = ImageFeatures(
        torch.randn(1, 2, 1, tiny.PROJECTION), torch.randn(1, 2, 1, 16, tiny.PATCH_WIDTH), torch.ones(1, 2, 1).bool()
    )
    latents, time = torch.randn(1, 4, 16, 16), torch.tensor(500.0)
    with torch.no_grad():
        subjects = baseline.embed(features)
        tokens = [tokenize(backbone.tokenizers[0], text, words)]
        condition = build_condition(
            backbone, baseline, baseline.weights(backbone.unet), tokens, subjects, size=(32, 32)
        )
        ours = backbone.predict_noise(latents, time, condition)
        backbone.unet.set_attn_processor({name: AttnProcessor2_0() for name in backbone.unet.attn_processors})
        plain = backbone.unet(latents, time, encoder_hidden_states=condition.text.states).sample
        backbone.unet._load_ip_adapter_weights([_tables(baseline)], low_cpu_mem_usage=False)
        images = {"image_embeds": [features.patches[:, :, 0]]}  # (1, images, M, Dh)
        theirs = backbone.unet(
            latents, time, encoder_hidden_states=condition.text.states, added_cond_kwargs=images
        ).sample
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert (theirs - plain).abs().max() > 1e-2


def _tables(adapter: MMDiffAdapter) -> dict[str, dict[str, Tensor]]:
    """Return the weights as a released file of IP-Adapter has them."""
    tables: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for ours, theirs in ip_adapter_names(adapter).items():
        table, name = theirs.split("/")
        tables[table][name] = adapter.state_dict()[ours]
    return tables


def test_ip_adapter_starts_from_the_projections_of_the_text(base: tuple[Toybox, MMDiffAdapter]) -> None:
    backbone, like = base
    baseline = create_variant_adapter(VARIANTS["ip-adapter-plus"], like.config, backbone.unet)
    for layer in baseline.config.cross_attention:
        attention, ours = backbone.unet.get_submodule(layer.path), baseline.unet[layer.path]
        assert torch.equal(ours.key_image.weight, attention.to_k.weight)
        assert torch.equal(ours.value_image.weight, attention.to_v.weight)
    trained = {name.split(".")[0] for name, _ in baseline.named_parameters()}
    assert trained == {"resampler", "unet"}, "no LoRA, no words"
    assert baseline.config.tokens == 16


def test_fastcomposer_fuses_behind_the_text_encoder(base: tuple[Toybox, MMDiffAdapter]) -> None:
    """Only the subject's own state changes: before the encoder, every later one would, too."""
    backbone, like = base
    features = ImageFeatures(
        torch.randn(1, 1, 1, tiny.PROJECTION), torch.randn(1, 1, 1, 16, tiny.PATCH_WIDTH), torch.ones(1, 1, 1).bool()
    )
    tokens = tokenize(backbone.tokenizers[0], *find_words("a cat on the beach", ("cat",)))

    def changed(name: str) -> Tensor:
        adapter = create_variant_adapter(VARIANTS[name], like.config, backbone.unet)
        with torch.no_grad():
            conditions = [
                build_condition(backbone, adapter, {}, [tokens], subjects, size=(32, 32))
                for subjects in (None, adapter.embed(features))
            ]
        plain, fused = (condition.text.states for condition in conditions)
        return (plain - fused).abs().amax(-1)[0] > 1e-6

    assert changed("fastcomposer").nonzero().flatten().tolist() == [int(tokens.words)]
    assert changed(FULL)[int(tokens.words) :].all()
