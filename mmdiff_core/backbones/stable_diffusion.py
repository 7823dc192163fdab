"""Stable Diffusion 1.x, and every model of that shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import ClassVar

import torch
from diffusers import SchedulerMixin, StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from mmdiff_core.attention_maps import Recorder
from mmdiff_core.backbones.base import Backbone, Defaults, TextDeltas
from mmdiff_core.backbones.loading import find_image_encoder, load_matching_adapter, native_sizes, open_pipeline
from mmdiff_core.backbones.preview import LatentPreview, fit_preview, to_pictures
from mmdiff_core.backbones.processors import Call, install, layer_sizes
from mmdiff_core.encoders.text import FusedWords, encode_text, join_states
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.types import Condition, PromptTokens, TextStates


@dataclass(frozen=True, eq=False)
class StableDiffusion(Backbone):
    """A Stable Diffusion model with one text encoder; ``Backbone`` says what each method promises."""

    latent_preview: LatentPreview

    reads_penultimate: ClassVar[bool] = False

    def fresh_scheduler(self) -> SchedulerMixin:
        return type(self.scheduler).from_config(self.scheduler.config)

    def encode_text(
        self, tokens: Sequence[PromptTokens], fused: Sequence[FusedWords | None], deltas: Sequence[TextDeltas]
    ) -> TextStates:
        parts = zip(self.text_encoders, tokens, fused, deltas, strict=True)
        return join_states(
            [
                encode_text(encoder, ids, words, deltas=delta, penultimate=self.reads_penultimate)
                for encoder, ids, words, delta in parts
            ]
        )

    def encode_negative(self, tokens: Sequence[PromptTokens], deltas: Sequence[TextDeltas]) -> TextStates:
        return self.encode_text(tokens, [None] * len(tokens), deltas)

    def added_conditions(self, text: TextStates, size: tuple[int, int]) -> Mapping[str, Tensor]:
        return {}

    def noise(self, seed: int, width: int, height: int) -> Tensor:
        scale = 2 ** (len(self.vae.config.block_out_channels) - 1)
        shape = (1, self.unet.config.in_channels, height // scale, width // scale)
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        return drawn.to(self.unet.device, self.unet.dtype)

    def predict_noise(
        self, latents: Tensor, timestep: Tensor, condition: Condition, recorder: Recorder | None = None
    ) -> Tensor:
        call = Call(condition, layer_sizes(self.unet, *latents.shape[-2:]), recorder)
        return self.unet(
            latents,
            timestep,
            encoder_hidden_states=condition.text.states,
            added_cond_kwargs=dict(condition.added),
            cross_attention_kwargs={"mmdiff": call},
        ).sample

    def decode(self, latents: Tensor) -> list[Image.Image]:
        unscaled = latents.to(self.vae.dtype) / self.vae.config.scaling_factor
        return to_pictures(self.vae.decode(unscaled).sample / 2 + 0.5)

    def preview(self, latents: Tensor) -> Image.Image:
        return self.latent_preview(latents)


def load_stable_diffusion(
    source: str | PathLike[str],
    adapter: str | PathLike[str] | None = None,
    image_encoder: str | PathLike[str] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    preview: LatentPreview | None = None,
) -> tuple[StableDiffusion, MMDiffAdapter | None]:
    """Load a stock Stable Diffusion folder or cached hub model, and an adapter for it.

    Args:
        source: folder in diffusers' format, or the name of a model that is in the hub's cache.
        adapter: the adapter's file; without it the model is the stock one and knows no subjects.
        image_encoder: folder of a CLIP vision model with projection; by default the one in ``source``.
        device, dtype: where and in what precision to run. The autoencoder stays in float32 if it asks for it.
        preview: the map from latents to colour where one is known; fitted otherwise.

    Raises:
        ModelError: something is missing; the message says how to get it.
        CheckpointError: the adapter does not fit the model.
    """
    pipe = open_pipeline(StableDiffusionPipeline, source, dtype)
    pipe.to(device)
    install(pipe.unet)
    weights = load_matching_adapter(adapter, pipe, device, dtype)
    backbone = StableDiffusion(
        name=str(source),
        unet=pipe.unet,
        vae=pipe.vae,
        tokenizers=(pipe.tokenizer,),
        text_encoders=(pipe.text_encoder,),
        image_encoder=find_image_encoder(image_encoder, pipe, weights, device, dtype),
        scheduler=pipe.scheduler,
        sizes=native_sizes(pipe),
        defaults=Defaults(steps=30, guidance=7.5),
        latent_preview=preview or fit_preview(pipe.vae),
    )
    return backbone, weights
