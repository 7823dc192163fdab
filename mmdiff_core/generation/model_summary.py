"""The sizes of a loaded model: the letters of ``mmdiff_core.types`` as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from mmdiff_core.backbones.base import Backbone
from mmdiff_core.backbones.processors import cross_attention_layers, layer_sizes
from mmdiff_core.nn.adapter import MMDiffAdapter


@dataclass(frozen=True)
class LayerGroup:
    """Cross-attention layers of one size and number of heads."""

    size: tuple[int, int]  # (h, w)
    heads: int  # H
    layers: int


@dataclass(frozen=True)
class AdapterSummary:
    """What MM-Diff adds; a component that the adapter was made without is 0 or False."""

    tokens: int  # N
    refiner_depth: int
    rank: int
    word_fusion: bool
    image_branch: bool
    null_token: bool


@dataclass(frozen=True)
class ModelSummary:
    """The sizes of a model's parts for images of one size."""

    image_size: tuple[int, int]  # (width, height)
    latents: tuple[int, int, int]  # (c, h, w)
    photo_side: int | None  # pixels a side; None: no image encoder
    patches: int | None  # M
    patch_width: int | None  # Dh
    cls_width: int | None  # Dv
    text_tokens: int  # T
    text_width: int  # D
    groups: tuple[LayerGroup, ...]  # the finest first
    adapter: AdapterSummary | None
    parameters: Mapping[str, int]  # by network: unet, vae, text, image, adapter

    @property
    def layers(self) -> int:
        """Return the number of cross-attention layers."""
        return sum(group.layers for group in self.groups)


def summarise_model(backbone: Backbone, adapter: MMDiffAdapter | None, image_size: tuple[int, int]) -> ModelSummary:
    """Return a model's sizes for images of ``image_size`` = (width, height) pixels, without running it."""
    scale = 2 ** (len(backbone.vae.config.block_out_channels) - 1)
    height, width = image_size[1] // scale, image_size[0] // scale
    vision = None if backbone.image_encoder is None else backbone.image_encoder.model.config
    return ModelSummary(
        image_size=image_size,
        latents=(backbone.unet.config.in_channels, height, width),
        photo_side=vision and vision.image_size,
        patches=vision and (vision.image_size // vision.patch_size) ** 2,
        patch_width=vision and vision.hidden_size,
        cls_width=vision and vision.projection_dim,
        text_tokens=backbone.tokenizers[0].model_max_length,
        text_width=backbone.unet.config.cross_attention_dim,
        groups=tuple(_groups(backbone, height, width)),
        adapter=None if adapter is None else _adapter(adapter),
        parameters=_parameters(backbone, adapter),
    )


def _groups(backbone: Backbone, height: int, width: int) -> Iterable[LayerGroup]:
    """Yield the cross-attention layers by size and heads, for latents of that height and width."""
    sizes = layer_sizes(backbone.unet, height, width)
    counted = Counter((sizes[layer.path], layer.heads) for layer in cross_attention_layers(backbone.unet))
    for (size, heads), count in sorted(counted.items(), key=lambda entry: -entry[0][0][0] * entry[0][0][1]):
        yield LayerGroup(size, heads, count)


def _adapter(adapter: MMDiffAdapter) -> AdapterSummary:
    config = adapter.config
    return AdapterSummary(
        config.tokens, config.refiner_depth, config.rank, config.word_fusion, config.image_branch, config.null_token
    )


def _parameters(backbone: Backbone, adapter: MMDiffAdapter | None) -> dict[str, int]:
    parts: dict[str, Iterable[nn.Module]] = {
        "unet": [backbone.unet],
        "vae": [backbone.vae],
        "text": backbone.text_encoders,
        "image": [] if backbone.image_encoder is None else [backbone.image_encoder],
        "adapter": [] if adapter is None else [adapter],
    }
    return {
        name: sum(parameter.numel() for module in modules for parameter in module.parameters())
        for name, modules in parts.items()
    }
