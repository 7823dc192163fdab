"""IP-Adapter-Plus (Ye et al. 2023) in place of the whole method: a configuration of our adapter, trained from scratch.

An absent photo is masked out and unconditional rows have no image term, as for every variant. (The released weights see
a blank photo there: ``weights/ip_adapter.py``.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from torch import nn

from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.config import AdapterConfig, ResamplerShape
from mmdiff_core.nn.layer import FrozenAttention, OwnWeight

DEPTH = 4  # of the resampler, as released
HEAD = 64


def as_ip_adapter_plus(config: AdapterConfig) -> AdapterConfig:
    """Return the configuration with all but the image term removed, and that as in IP-Adapter-Plus.

    ``tokens`` are the resampler's queries.
    """
    width = config.width
    return replace(
        config,
        text_towers=tuple(replace(tower, rank=0) for tower in config.text_towers),
        rank=0,
        self_attention_rank=0,
        word_fusion=False,
        refiner_depth=0,
        null_token=False,
        own_image_weights=True,
        resampler=ResamplerShape(width, max(1, width // HEAD), HEAD, DEPTH, 4 * width),
    )


def create_ip_adapter_plus(config: AdapterConfig, unet: nn.Module) -> MMDiffAdapter:
    """Create fresh weights, whose image projections start as those of the text in the frozen UNet, as released."""
    adapter = MMDiffAdapter(as_ip_adapter_plus(config))
    for path in adapter.unet.paths:
        layer, frozen = adapter.unet[path], cast(FrozenAttention, unet.get_submodule(path))
        cast(OwnWeight, layer.key_image).start_from(frozen.to_k.weight)
        cast(OwnWeight, layer.value_image).start_from(frozen.to_v.weight)
    return adapter
