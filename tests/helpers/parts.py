"""A small random UNet, an adapter for it and a request: what the tests of the adapter work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from mmdiff_core.backbones.processors import Call, cross_attention_layers, layer_sizes, self_attention_layers
from mmdiff_core.nn.adapter import AdapterConfig, MMDiffAdapter, TextTower
from mmdiff_core.nn.records import Condition, ImageFeatures, LayerMaps, SubjectEmbeddings, TextStates
from mmdiff_core.types import Recording

CONTEXT, CLS, PATCH, TOKENS, WORD = 24, 20, 28, 4, 16


def tiny_unet(seed: int = 0) -> UNet2DConditionModel:
    """Three levels, cross-attention on the two lower ones and in the middle."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 16, 32),
        layers_per_block=1,
        cross_attention_dim=CONTEXT,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    return unet.eval()


def adapter_for(unet: nn.Module, trained: bool = True, **changes: object) -> MMDiffAdapter:
    """An adapter with every part switched on; ``trained`` gives every tensor random values."""
    torch.manual_seed(1)
    values = {
        "cross_attention": cross_attention_layers(unet),
        "self_attention": self_attention_layers(unet),
        "text_towers": (TextTower(WORD, layers=2, rank=2), TextTower(12, layers=1, rank=2, lora_active=False)),
        "cls_width": CLS,
        "patch_width": PATCH,
        "rank": 4,
        "self_attention_rank": 2,
        "tokens": TOKENS,
        "refiner_depth": 2,
        "refiner_head_dim": 12,
    }
    adapter = MMDiffAdapter(AdapterConfig(**(values | changes)))
    if trained:
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return adapter


def photo_features(batch: int = 2, subjects: int = 2, photos: int = 2, seed: int = 2) -> ImageFeatures:
    """Features of photos that are all there."""
    generator = torch.Generator().manual_seed(seed)
    return ImageFeatures(
        cls=torch.randn(batch, subjects, photos, CLS, generator=generator),
        patches=torch.randn(batch, subjects, photos, 9, PATCH, generator=generator),
        present=torch.ones(batch, subjects, photos, dtype=torch.bool),
    )


def text_states(batch: int = 2, seed: int = 3) -> Tensor:
    return torch.randn(batch, 11, CONTEXT, generator=torch.Generator().manual_seed(seed))


def condition_for(
    adapter: MMDiffAdapter,
    unet: nn.Module,
    subjects: SubjectEmbeddings | None,
    scales: Sequence[float] = (1.0, 0.7),
    states: Tensor | None = None,
) -> Condition:
    """A condition whose words are text tokens 2, 3, ... in every row, all of them guided."""
    states = text_states() if states is None else states
    lambdas = torch.tensor(scales).expand(len(states), -1)
    layers = adapter.condition_layers(adapter.weights(unet), states, subjects, lambdas)
    words = torch.arange(2, 2 + len(scales)).expand(len(states), -1)
    conditional = torch.ones(len(states), dtype=torch.bool)
    return Condition(TextStates(states), subjects, words, lambdas, conditional, layers)


def run(
    unet: UNet2DConditionModel, latents: Tensor, condition: Condition | None, recorder: MapList | None = None
) -> Tensor:
    """One forward of the UNet, stock without a condition."""
    if condition is None:
        return unet(latents, 500, encoder_hidden_states=text_states(len(latents))).sample
    call = Call(condition, layer_sizes(unet, *latents.shape[-2:]), recorder)
    states = condition.text.states
    return unet(latents, 500, encoder_hidden_states=states, cross_attention_kwargs={"mmdiff": call}).sample


def latents(batch: int = 2, height: int = 16, width: int = 16, seed: int = 4) -> Tensor:
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(seed))


@dataclass
class MapList:
    """A recorder that keeps the maps of all forwards."""

    recording: Recording = field(default_factory=Recording)
    shared_scores: bool = False
    maps: list[LayerMaps] = field(default_factory=list)

    def add(self, maps: LayerMaps) -> None:
        self.maps.append(maps)

    def take_keys(self, *_: object) -> None:
        """Keep the maps alone."""

    take_self_keys = take_keys
