"""Stable Diffusion XL: two text encoders, pooled text and picture sizes beside the time embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import ClassVar

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from mmdiff_core.backbones.base import Defaults, TextDeltas
from mmdiff_core.backbones.loading import find_image_encoder, load_matching_adapter, native_sizes, open_pipeline
from mmdiff_core.backbones.preview import fit_preview
from mmdiff_core.backbones.processors import install
from mmdiff_core.backbones.stable_diffusion import StableDiffusion
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.types import PromptTokens, TextStates


@dataclass(frozen=True, eq=False)
class StableDiffusionXL(StableDiffusion):
    """As ``StableDiffusion``, with the conditioning of the larger model.

    ``zero_blank_negative`` is the stock pipeline's ``force_zeros_for_empty_prompt``.
    """

    zero_blank_negative: bool = True

    reads_penultimate: ClassVar[bool] = True

    def encode_negative(self, tokens: Sequence[PromptTokens], deltas: Sequence[TextDeltas]) -> TextStates:
        text = super().encode_negative(tokens, deltas)
        if not (self.zero_blank_negative and self._is_blank(tokens[0])):
            return text
        return TextStates(torch.zeros_like(text.states), None if text.pooled is None else torch.zeros_like(text.pooled))

    def _is_blank(self, tokens: PromptTokens) -> bool:
        """Whether the end-of-text token follows right after the start."""
        return bool((tokens.ids[:, 1] == self.tokenizers[0].eos_token_id).all())

    def added_conditions(self, text: TextStates, size: tuple[int, int]) -> Mapping[str, Tensor]:
        if text.pooled is None:
            raise ValueError("the last text encoder of Stable Diffusion XL must have a projection")
        width, height = size
        original, crop, target = (height, width), (0, 0), (height, width)
        ids = torch.tensor([*original, *crop, *target]).to(text.pooled)
        return {"text_embeds": text.pooled, "time_ids": ids.expand(len(text.pooled), -1)}


def load_stable_diffusion_xl(
    source: str | PathLike[str],
    adapter: str | PathLike[str] | None = None,
    image_encoder: str | PathLike[str] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[StableDiffusionXL, MMDiffAdapter | None]:
    """Load a stock SDXL folder or cached hub model, and an adapter for it; see ``load_stable_diffusion``."""
    pipe = open_pipeline(StableDiffusionXLPipeline, source, dtype)
    pipe.to(device)
    install(pipe.unet)
    weights = load_matching_adapter(adapter, pipe, device, dtype)
    backbone = StableDiffusionXL(
        name=str(source),
        unet=pipe.unet,
        vae=pipe.vae,
        tokenizers=(pipe.tokenizer, pipe.tokenizer_2),
        text_encoders=(pipe.text_encoder, pipe.text_encoder_2),
        image_encoder=find_image_encoder(image_encoder, pipe, weights, device, dtype),
        scheduler=pipe.scheduler,
        sizes=native_sizes(pipe),
        defaults=Defaults(steps=30, guidance=5.0),
        latent_preview=fit_preview(pipe.vae),
        zero_blank_negative=pipe.config.force_zeros_for_empty_prompt,
    )
    return backbone, weights
