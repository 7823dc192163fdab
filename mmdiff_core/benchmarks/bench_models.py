"""UNets with random weights in the sizes of real ones, each with a request: the time of a step is the same.

name      images      UNet
toybox    192 px      the shipped one's shape
sd15      512 px      Stable Diffusion 1.5
sdxl      512 px      SDXL; on a CPU the pair of its blocks with most of its transformers, at reduced depth
tiny      32 px       for tests
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from mmdiff_core.backbones.processors import cross_attention_layers, install, layer_sizes, uninstall
from mmdiff_core.backbones.toybox import FOLDER
from mmdiff_core.generation.conditioning import with_recorded_keys
from mmdiff_core.nn.adapter import AdapterConfig, LayerWeights, MMDiffAdapter
from mmdiff_core.nn.records import Condition, SubjectEmbeddings, TextStates

TOKENS = 4  # a subject
SUBJECTS = 2
_SD15: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
_SDXL: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_SDXL_PAIR: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": (1280,),
    "down_block_types": ("CrossAttnDownBlock2D",),
    "up_block_types": ("CrossAttnUpBlock2D",),
    "mid_block_type": None,
    "layers_per_block": 1,
    "transformer_layers_per_block": 3,
    "attention_head_dim": 20,
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
}
_TINY: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "attention_head_dim": 2,
    "norm_num_groups": 8,
}


@dataclass(frozen=True)
class BenchSizes:
    """Sizes of the parts around a UNet."""

    text_tokens: int  # T
    patches: int  # M
    patch_width: int  # Dh
    resampler_heads: int  # of IP-Adapter-Plus
    resampler_width: int
    rank: int  # of our LoRAs


SIZES = {
    "toybox": BenchSizes(48, 64, 192, 3, 192, 32),
    "sd15": BenchSizes(77, 256, 1024, 12, 768, 64),
    "sdxl": BenchSizes(77, 256, 1024, 20, 1280, 64),
    "tiny": BenchSizes(11, 9, 32, 2, 32, 4),
}
NAMES = tuple(SIZES)


@dataclass(frozen=True, eq=False)
class BenchModel:
    """A UNet, an adapter for it, and the pair of latents for classifier-free guidance."""

    name: str
    what: str  # for the report
    unet: UNet2DConditionModel
    adapter: MMDiffAdapter
    weights: Mapping[str, LayerWeights]
    states: Tensor  # (2, T, D)
    latents: Tensor  # (2, c, h, w)
    added: Mapping[str, Tensor]
    sizes: BenchSizes

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @cached_property
    def layer_sizes(self) -> dict[str, tuple[int, int]]:
        return layer_sizes(self.unet, *self.latents.shape[-2:])

    def condition(self, subjects: int = SUBJECTS, recorded: bool = False) -> Condition:
        """Return the condition of a step with ``subjects`` subjects of one photo each."""
        own, scales = self.subjects(subjects), torch.ones(1, subjects, device=self.device)
        both = replace(
            own,
            tokens=torch.cat([torch.zeros_like(own.tokens), own.tokens]),
            present=torch.cat([torch.zeros_like(own.present), own.present]),
        )
        words = torch.arange(2, 2 + subjects, device=self.device)[None]
        condition = Condition(
            text=TextStates(self.states),
            subjects=both,
            words=torch.cat([torch.full_like(words, -1), words]),
            scales=torch.cat([torch.zeros_like(scales), scales]),
            conditional=torch.tensor([False, True]),
            added=self.added,
        )
        layers = self.adapter.condition_layers(self.weights, self.states, own, scales)
        return condition.with_layers(with_recorded_keys(layers, condition) if recorded else layers)

    def subjects(self, count: int) -> SubjectEmbeddings:
        """Return random subject tokens (1, count * N, D)."""
        tokens = _random(7, 1, count * TOKENS, self.states.shape[-1]).to(self.states)
        owners = torch.arange(count, device=self.device).repeat_interleave(TOKENS)
        return SubjectEmbeddings((), tokens, owners, torch.ones(tokens.shape[:2], dtype=torch.bool, device=self.device))


@torch.no_grad()
def bench_model(name: str, device: torch.device, dtype: torch.dtype = torch.float32) -> BenchModel:
    """Build one of ``NAMES``."""
    config, what = configuration(name, device)
    torch.manual_seed(0)
    with device:  # a GPU samples a billion weights faster than the CPU
        unet = UNet2DConditionModel(**config).to(dtype).eval()
    sizes = SIZES[name]
    adapter = _adapter(unet, sizes).to(device, dtype).eval()
    channels, side = unet.config.in_channels, unet.config.sample_size
    return BenchModel(
        name=name,
        what=what,
        unet=unet,
        adapter=adapter,
        weights=adapter.weights(unet),
        states=_random(1, 2, sizes.text_tokens, unet.config.cross_attention_dim).to(device, dtype),
        latents=_random(2, 1, channels, side, side).to(device, dtype).expand(2, -1, -1, -1),
        added=_added(unet, device, dtype),
        sizes=sizes,
    )


def configuration(name: str, device: torch.device) -> tuple[dict[str, Any], str]:
    """Return the configuration of a UNet, and its description."""
    if name == "toybox":
        stored = json.loads((FOLDER / "unet" / "config.json").read_text())
        return {key: value for key, value in stored.items() if not key.startswith("_")}, "the shipped UNet's shape"
    if name == "sd15":
        return _SD15, "Stable Diffusion 1.5, 512 px"
    if name == "tiny":
        return _TINY, "a UNet for tests"
    if device.type == "cpu":
        return _SDXL_PAIR, "SDXL at 512 px, its lowest pair of blocks with 3 of 10 transformers each"
    return _SDXL, "SDXL, 512 px"


def _adapter(unet: UNet2DConditionModel, sizes: BenchSizes) -> MMDiffAdapter:
    """Return an adapter whose LoRAs are not zero, like those of a trained one."""
    install(unet)
    config = AdapterConfig(
        cross_attention=cross_attention_layers(unet),
        text_towers=(),
        cls_width=sizes.patch_width,
        patch_width=sizes.patch_width,
        rank=sizes.rank,
        tokens=TOKENS,
        refiner_depth=0,
        word_fusion=False,
    )
    uninstall(unet)
    adapter = MMDiffAdapter(config)
    for parameter in adapter.unet.parameters():
        torch.nn.init.normal_(parameter, std=0.01)
    return adapter.requires_grad_(False)


def _added(unet: UNet2DConditionModel, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    if unet.config.addition_embed_type != "text_time":
        return {}
    ids = torch.tensor([[512.0, 512, 0, 0, 512, 512]] * 2).to(device, dtype)
    return {"text_embeds": _random(3, 2, 1280).to(device, dtype), "time_ids": ids}


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
