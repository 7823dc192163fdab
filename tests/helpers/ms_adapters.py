"""Random MS-Diffusion checkpoints in the released layout, for tiny models."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from tests.helpers.ip_adapters import drawn, resampler_shapes

WIDTH, HEADS, QUERIES = 48, 2, 5  # of the resampler
PHRASE = 32  # of the first text encoder
READ = PHRASE + 64  # beside the sines and cosines of a box


def ms_adapter(pipe: DiffusionPipeline, seed: int = 0) -> dict[str, Any]:
    """Return the tables of a checkpoint for a pipeline's UNet."""
    generator = torch.Generator().manual_seed(seed)
    context = pipe.unet.config.cross_attention_dim
    projection = {
        "grounding_latents": (1, QUERIES, WIDTH),
        "latent_proj.0.weight": (2 * READ, READ),
        "latent_proj.0.bias": (2 * READ,),
        "latent_proj.2.weight": (QUERIES * WIDTH, 2 * READ),
        "latent_proj.2.bias": (QUERIES * WIDTH,),
        **{f"{name}.{part}": (WIDTH,) for name in ("latent_norm", "attention_norm") for part in ("weight", "bias")},
        **resampler_shapes("", WIDTH, context, HEADS),
    }
    layers: dict[str, tuple[int, ...]] = {}
    for index, name in enumerate(pipe.unet.attn_processors):
        attention = pipe.unet.get_submodule(name.removesuffix(".processor"))
        if attention.is_cross_attention:
            layers |= {f"{index}.to_{x}_ip.weight": attention.to_k.weight.shape for x in "kv"}
    dummies: Tensor = torch.randn(1, 4, context, generator=generator)
    return {
        "image_proj": drawn(projection, generator),
        "ms_adapter": drawn(layers, generator),
        "dummy_image_tokens": dummies,
    }
