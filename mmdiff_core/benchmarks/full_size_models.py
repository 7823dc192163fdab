"""Full-size Stable Diffusion models with random weights: real shapes, no download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import pre_tokenizers
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from mmdiff_core.backbones.loading import SDXL_UNET
from mmdiff_core.backbones.processors import cross_attention_layers
from mmdiff_core.backbones.stable_diffusion import StableDiffusion
from mmdiff_core.backbones.stable_diffusion_xl import StableDiffusionXL
from mmdiff_core.nn.adapter import AdapterConfig, MMDiffAdapter, TextTower

START, END = "<|startoftext|>", "<|endoftext|>"
TILE = 65_537  # random numbers, repeated in large weights; prime, so that the rows of a weight differ
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


@dataclass(frozen=True)
class ModelShape:
    """The configurations of a model's networks."""

    kind: type[StableDiffusion]
    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    text: tuple[Mapping[str, Any], ...]  # one per text encoder
    vision: Mapping[str, Any]


_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
_CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
_VISION_L = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "projection_dim": 768,
    "image_size": 224,
    "patch_size": 14,
}
_CROSS_DOWN, _CROSS_UP = ("CrossAttnDownBlock2D",) * 3, ("CrossAttnUpBlock2D",) * 3

MODEL_SHAPES = {
    "sd15": ModelShape(
        kind=StableDiffusion,
        unet={
            "sample_size": 64,
            "down_block_types": (*_CROSS_DOWN, "DownBlock2D"),
            "up_block_types": ("UpBlock2D", *_CROSS_UP),
            "block_out_channels": (320, 640, 1280, 1280),
            "cross_attention_dim": 768,
            "attention_head_dim": 8,
        },
        vae={**_VAE, "scaling_factor": 0.18215, "sample_size": 512},
        text=({**_CLIP_L, "projection_dim": 768},),
        vision=_VISION_L,
    ),
    "sdxl": ModelShape(
        kind=StableDiffusionXL,
        unet={
            **SDXL_UNET,
            "sample_size": 128,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        vae={**_VAE, "scaling_factor": 0.13025, "sample_size": 1024, "force_upcast": True},
        text=(
            {**_CLIP_L, "projection_dim": 768},
            {
                "hidden_size": 1280,
                "intermediate_size": 5120,
                "num_hidden_layers": 32,
                "num_attention_heads": 20,
                "projection_dim": 1280,
                "hidden_act": "gelu",
            },
        ),
        vision=_VISION_L,
    ),
}


def build_pipeline(shape: ModelShape, dtype: torch.dtype) -> StableDiffusionPipeline | StableDiffusionXLPipeline:
    """Return a stock pipeline with random weights and an image encoder, on the CPU."""
    words = _tokenizer()
    end = words.convert_tokens_to_ids(END)
    ids = {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end, "vocab_size": 49_408}
    one, *two = (CLIPTextConfig(**ids, **config) for config in shape.text)
    with init_empty_weights():  # parameters take no memory until they are filled, buffers do
        unet, vae = UNet2DConditionModel(**shape.unet), AutoencoderKL(**shape.vae)
        vision = CLIPVisionModelWithProjection(CLIPVisionConfig(**shape.vision))
        text = CLIPTextModel(one)
        text_2 = [CLIPTextModelWithProjection(config) for config in two]
    for network in (unet, vae, vision, text, *text_2):
        fill_with_random(network, dtype)
    parts = {"unet": unet, "vae": vae, "text_encoder": text, "tokenizer": words, "image_encoder": vision}
    if text_2:
        return StableDiffusionXLPipeline(
            **parts,
            text_encoder_2=text_2[0],
            tokenizer_2=words,
            scheduler=EulerDiscreteScheduler(**NOISE, timestep_spacing="leading"),
            add_watermarker=False,
        )
    return StableDiffusionPipeline(
        **parts,
        scheduler=DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def build_adapter(
    pipe: StableDiffusionPipeline | StableDiffusionXLPipeline, shape: ModelShape, dtype: torch.dtype, **sizes: Any
) -> MMDiffAdapter:
    """Return a random adapter for such a pipeline; ``sizes`` are fields of ``AdapterConfig``."""
    config = AdapterConfig(
        cross_attention=cross_attention_layers(pipe.unet),
        text_towers=tuple(TextTower(text["hidden_size"]) for text in shape.text),
        cls_width=shape.vision["projection_dim"],
        patch_width=shape.vision["hidden_size"],
        **sizes,
    )
    with init_empty_weights():
        adapter = MMDiffAdapter(config)
    fill_with_random(adapter, dtype)
    return adapter


def fill_with_random(network: nn.Module, dtype: torch.dtype, seed: int = 0) -> None:
    """Fill the empty parameters of a network with random numbers that keep the scale of the activations.

    The numbers repeat, so that billions of them take only seconds.
    """
    tile = torch.randn(TILE, generator=torch.Generator().manual_seed(seed)).to(dtype)
    for module in network.modules():
        is_norm = type(module).__name__.endswith("Norm")
        for name, parameter in list(module.named_parameters(recurse=False)):
            values = _values(parameter, name, is_norm, tile, dtype)
            setattr(module, name, nn.Parameter(values, requires_grad=False))
    network.to(dtype).eval()


def _values(parameter: nn.Parameter, name: str, is_norm: bool, tile: Tensor, dtype: torch.dtype) -> Tensor:
    if parameter.ndim < 2:
        return torch.full(parameter.shape, float(is_norm and name == "weight"), dtype=dtype)
    fan_in = parameter[0].numel()
    values = tile.repeat(-(-parameter.numel() // TILE))[: parameter.numel()].clone()
    return values.mul_(fan_in**-0.5).view(parameter.shape)


def _tokenizer() -> CLIPTokenizer:
    """Return CLIP's byte-pair tokenizer without merges, which splits every word into letters."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), START, END]
    return CLIPTokenizer(vocab={token: n for n, token in enumerate(tokens)}, merges=[], model_max_length=77)
