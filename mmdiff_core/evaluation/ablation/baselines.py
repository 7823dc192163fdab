"""IP-Adapter-Plus (Ye et al. 2023) in place of MM-Diff's adapter, built from diffusers' own classes.

diffusers' resampler turns the patch tokens of a photo into 16 tokens. Per layer, an attention processor of diffusers
has the two trained projections. Attention itself is ours, which computes the same and can be recorded: an absent photo
is masked out, as for every variant, and unconditional rows have no image term.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from torch import Tensor, nn

from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.config import AdapterConfig, AttentionLayer
from mmdiff_core.nn.layer import FrozenAttention, LayerLoras, LayerWeights
from mmdiff_core.nn.lora import PathDict
from mmdiff_core.nn.records import ImageFeatures
from mmdiff_core.types import Components

DEPTH = 4  # of the resampler, as released
HEAD = 64


class IPAdapterPlus(MMDiffAdapter):
    """The trained weights of IP-Adapter-Plus, with the methods of MM-Diff's adapter.

    Args:
        config: sizes; ``tokens`` are the resampler's queries.
        unet: the frozen UNet, whose text projections initialise the image projections, as in the released training;
            None if a file fills them.
    """

    def __init__(self, config: AdapterConfig, unet: nn.Module | None = None) -> None:
        super().__init__(_without_loras(config))
        self.token_projector = self.refiner = None
        self.image_projection = IPAdapterPlusImageProjection(
            embed_dims=config.patch_width,
            output_dims=config.width,
            hidden_dims=config.width,
            depth=DEPTH,
            dim_head=HEAD,
            heads=max(1, config.width // HEAD),
            num_queries=config.tokens,
        )
        layers = {layer.path: ImageProjections(layer, config.tokens) for layer in config.cross_attention}
        self.unet = cast("PathDict[LayerLoras]", PathDict(layers))
        if unet is not None:
            for path, projections in layers.items():
                projections.start_from(cast(FrozenAttention, unet.get_submodule(path)))

    def _tokens(self, features: ImageFeatures, identity: Tensor | None, parts: Components) -> Tensor:
        return self.image_projection(features.patches[features.present])


def _without_loras(config: AdapterConfig) -> AdapterConfig:
    """Remove all but the image term: IP-Adapter has no LoRA in text encoders or self-attention."""
    towers = tuple(replace(tower, rank=0) for tower in config.text_towers)
    return replace(
        config, text_towers=towers, self_attention_rank=0, word_fusion=False, refiner_depth=0, null_token=False
    )


class ImageProjections(nn.Module):
    """The two trained projections of one attention layer, in diffusers' own processor."""

    def __init__(self, layer: AttentionLayer, tokens: int) -> None:
        super().__init__()
        self.heads = layer.heads
        self.processor = IPAdapterAttnProcessor2_0(layer.inner, layer.context, num_tokens=(tokens,))

    @torch.no_grad()
    def start_from(self, attention: FrozenAttention) -> None:
        """Copy the projections of the text."""
        self.processor.to_k_ip[0].weight.copy_(attention.to_k.weight)
        self.processor.to_v_ip[0].weight.copy_(attention.to_v.weight)

    def add_to(self, attention: FrozenAttention, scale: float = 1.0) -> LayerWeights:
        """Return the frozen weights with the image projections beside them."""
        return LayerWeights(
            heads=self.heads,
            query=attention.to_q.weight,
            key=attention.to_k.weight,
            value=attention.to_v.weight,
            output=attention.to_out[0].weight,
            key_image=self.processor.to_k_ip[0].weight,
            value_image=self.processor.to_v_ip[0].weight,
            output_bias=attention.to_out[0].bias,
        )
