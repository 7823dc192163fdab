"""Stable Diffusion XL: two text encoders, pooled text and image sizes beside the time embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor

from mmdiff_core.backbones.base import Defaults, TextDeltas
from mmdiff_core.backbones.stable_diffusion import StableDiffusion, load_stock
from mmdiff_core.encoders.text import FusedWords
from mmdiff_core.nn.records import PromptTokens, TextStates


@dataclass(frozen=True, eq=False)
class StableDiffusionXL(StableDiffusion):
    """As ``StableDiffusion``, with the conditioning of the larger model.

    ``zero_blank_negative`` is the stock pipeline's ``force_zeros_for_empty_prompt``: no text is zeros, in the
    unconditional half of an image as in the rows of a training batch that see no text.
    """

    zero_blank_negative: bool = True

    reads_penultimate: ClassVar[bool] = True
    stock: ClassVar[type[DiffusionPipeline]] = StableDiffusionXLPipeline
    stock_defaults: ClassVar[Defaults] = Defaults(steps=30, guidance=5.0)

    @classmethod
    def fields_from(cls, pipe: DiffusionPipeline) -> dict[str, Any]:
        return super().fields_from(pipe) | {
            "tokenizers": (pipe.tokenizer, pipe.tokenizer_2),
            "text_encoders": (pipe.text_encoder, pipe.text_encoder_2),
            "zero_blank_negative": pipe.config.force_zeros_for_empty_prompt,
        }

    def encode_text(
        self,
        tokens: Sequence[PromptTokens],
        fused: Sequence[FusedWords | None],
        deltas: Sequence[TextDeltas],
        clip_skip: int = 0,
    ) -> TextStates:
        text = super().encode_text(tokens, fused, deltas, clip_skip)
        blank = self._is_blank(tokens[0]).to(text.states.device)
        if not (self.zero_blank_negative and bool(blank.any())):
            return text
        pooled = None if text.pooled is None else text.pooled.masked_fill(blank[:, None], 0)
        return TextStates(text.states.masked_fill(blank[:, None, None], 0), pooled)

    def _overflows(self) -> bool:
        return self.vae.dtype == torch.float16 and bool(self.vae.config.force_upcast)

    def _is_blank(self, tokens: PromptTokens) -> Tensor:
        """Return the rows (B,) in which the end-of-text token follows right after the start."""
        return tokens.ids[:, 1] == self.tokenizers[0].eos_token_id

    def added_conditions(self, text: TextStates, size: tuple[int, int], guidance: float = 1.0) -> Mapping[str, Tensor]:
        if text.pooled is None:
            raise ValueError("the last text encoder of Stable Diffusion XL must have a projection")
        width, height = size
        original, crop, target = (height, width), (0, 0), (height, width)
        ids = torch.tensor([*original, *crop, *target]).to(text.pooled)
        own = {"text_embeds": text.pooled, "time_ids": ids.expand(len(text.pooled), -1)}
        return {**super().added_conditions(text, size, guidance), **own}


def load_stable_diffusion_xl(source: str | PathLike[str], *args: Any, **options: Any) -> tuple[StableDiffusionXL, Any]:
    """Load an SDXL by :func:`~mmdiff_core.backbones.stable_diffusion.load_stock`."""
    return load_stock(StableDiffusionXL, source, *args, **options)
